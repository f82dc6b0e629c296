//! Thermal zones above the temperature at which the machine is shut down; see the kernel's driver-api/thermal.

use super::{
    Seen,
    hwmon::{celsius, is_plausible},
    problem::{Problems, Severity},
};
use crate::{
    exposition::{Exposition, Kind},
    gap::Reader,
    host::Machine,
};

const ZONES: &str = "sys/class/thermal";

/// Trip points that a zone may have.
const MOST: usize = 32;

/// No critical trip point is below this, in thousandths of a degree.
const WARM: i64 = 40_000;

/// Two problems at most for a zone there are: it is hot, or worse. Zones that are shown as sensors too are told there.
pub fn watch(machine: &Machine, reader: &Reader<'_>, problems: &mut Problems) {
    let chips = reader.names("sys/class/hwmon").into_iter().map(|chip| format!("sys/class/hwmon/{chip}"));
    let chips = chips.filter(|chip| reader.root().exists(&format!("{chip}/temp1_crit")));
    let chips: Vec<_> = chips.filter_map(|chip| reader.word(&format!("{chip}/name"))).collect();
    let zones = reader.names(ZONES).into_iter().filter(|name| name.starts_with("thermal_zone"));
    let zones = zones.map(|name| format!("{ZONES}/{name}")).collect();
    let found = machine.ask_devices(reader, zones, move |reader, zone| too_hot(reader, zone, &chips));
    for (severity, what) in found.into_iter().flatten() {
        problems.add(severity, "cpu", what);
    }
}

/// How hot the zones are, and how much the cooling devices do against it.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let numbered = |kind: &str| {
        let of = |name: String| name.strip_prefix(kind).and_then(|number| number.parse::<u32>().ok());
        let mut numbers: Vec<u32> = seen.reader.names(ZONES).into_iter().filter_map(of).collect();
        numbers.sort_unstable();
        let directories = numbers.into_iter().map(|number| format!("{ZONES}/{kind}{number}")).collect();
        seen.machine.ask_devices(seen.reader, directories, |reader, directory| {
            let number = |file: &str| reader.number::<i64>(&format!("{directory}/{file}"));
            Told {
                number: directory.trim_start_matches(|c: char| !c.is_ascii_digit()).to_owned(),
                kind: reader.word(&format!("{directory}/type")).unwrap_or_default(),
                figures: ["temp", "cur_state", "max_state"].map(number),
            }
        })
    };
    let mut zones = page.family("node_thermal_zone_temp", Kind::Gauge, "How hot each zone is, in degrees Celsius.");
    for zone in numbered("thermal_zone") {
        let labels = [("zone", &*zone.number), ("type", &zone.kind)];
        zones.add(&labels, zone.figures[0].map(|milli| milli as f64 / 1e3));
    }
    drop(zones);
    let devices = numbered("cooling_device");
    for (at, name, help) in [
        (1, "node_cooling_device_cur_state", "How much each cooling device does."),
        (2, "node_cooling_device_max_state", "How much each cooling device can do."),
    ] {
        let mut states = page.family(name, Kind::Gauge, help);
        for device in &devices {
            states.add(&[("name", &*device.number), ("type", &device.kind)], device.figures[at]);
        }
    }
}

/// What a zone or a cooling device says.
struct Told {
    number: String,
    kind: String,
    figures: [Option<i64>; 3],
}

fn too_hot(reader: &Reader<'_>, zone: &str, chips: &[String]) -> Option<(Severity, String)> {
    let file = |name: &str| format!("{zone}/{name}");
    let kind = reader.word(&file("type"))?;
    if chips.contains(&kind.replace('-', "_")) || reader.word(&file("mode")).as_deref() == Some("disabled") {
        return None;
    }
    let now = reader.number::<i64>(&file("temp")).filter(|now| is_plausible(*now) && *now >= WARM)?;
    let mut worst = None;
    for number in 0..MOST {
        let Some(trip) = reader.word(&file(&format!("trip_point_{number}_type"))) else { break };
        let (severity, word) = match trip.as_str() {
            "critical" => (Severity::Critical, "critical"),
            "hot" => (Severity::Warning, "hot"),
            // where fans begin to turn, or the CPU is slowed down: that is what they are for
            _ => continue,
        };
        let limit = reader.number::<i64>(&file(&format!("trip_point_{number}_temp"))).filter(|limit| *limit >= WARM);
        if let Some(limit) = limit.filter(|limit| now >= *limit)
            && worst.as_ref().is_none_or(|(known, _)| severity < *known)
        {
            let (now, limit) = (celsius(now), celsius(limit));
            worst = Some((severity, format!("thermal zone {kind} is at {now}, above its {word} {limit}")));
        }
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;

    fn said(kind: &str, temp: &str, trips: &[(&str, &str)], more: &[(&str, &str)]) -> Vec<(Severity, String)> {
        let tree = Tree::new(more);
        let file = |name: &str| format!("{ZONES}/thermal_zone0/{name}");
        tree.write(&file("type"), kind);
        tree.write(&file("temp"), temp);
        for (number, (trip, limit)) in trips.iter().enumerate() {
            tree.write(&file(&format!("trip_point_{number}_type")), trip);
            tree.write(&file(&format!("trip_point_{number}_temp")), limit);
        }
        let (problems, _) = tree.problems(watch);
        problems.into_iter().map(|problem| (problem.severity, problem.what)).collect()
    }

    #[test]
    fn a_zone_above_its_critical_trip_point_is_critical() {
        let trips = [("passive", "80000"), ("hot", "95000"), ("critical", "105000")];
        let hot = "thermal zone cpu-thermal is at 96.5 °C, above its hot 95 °C".to_owned();
        let critical = "thermal zone cpu-thermal is at 106 °C, above its critical 105 °C".to_owned();
        assert_eq!(said("cpu-thermal", "90000", &trips, &[]), []);
        assert_eq!(said("cpu-thermal", "96500", &trips, &[]), [(Severity::Warning, hot)]);
        assert_eq!(said("cpu-thermal", "106000", &trips, &[]), [(Severity::Critical, critical)]);
    }

    #[test]
    fn what_no_firmware_means_is_no_problem() {
        assert_eq!(said("acpitz", "50000", &[("critical", "0")], &[]), []);
        assert_eq!(said("acpitz", "50000", &[("critical", "-273200")], &[]), []);
        assert_eq!(said("acpitz", "255000", &[("critical", "100000")], &[]), []);
        assert_eq!(said("acpitz", "", &[("critical", "100000")], &[]), []);
        let off = [("sys/class/thermal/thermal_zone0/mode", "disabled")];
        assert_eq!(said("acpitz", "110000", &[("critical", "100000")], &off), []);
    }

    #[test]
    fn a_zone_that_is_a_sensor_too_is_told_once() {
        let told = |sensor: &[(&str, &str)]| said("cpu-thermal", "110000", &[("critical", "100000")], sensor).len();
        let name = ("sys/class/hwmon/hwmon0/name", "cpu_thermal");
        assert_eq!(told(&[name, ("sys/class/hwmon/hwmon0/temp1_crit", "100000")]), 0);
        assert_eq!(told(&[name]), 1, "the sensor knows no limit");
    }
}
