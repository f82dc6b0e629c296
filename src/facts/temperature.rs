//! How hot the CPU is.

use crate::gap::Reader;

/// The hottest CPU package in degrees Celsius, by its own sensor, else by the firmware's thermal zone.
pub fn read(reader: &Reader<'_>) -> Option<f64> {
    let chips = reader.names("sys/class/hwmon");
    let hottest = chips.iter().filter_map(|chip| of_chip(reader, chip)).max();
    let zones = || {
        let zones = reader.names("sys/class/thermal");
        zones.iter().filter_map(|zone| of_zone(reader, zone)).max()
    };
    hottest.or_else(zones).map(|milli| milli as f64 / 1e3)
}

fn of_chip(reader: &Reader<'_>, chip: &str) -> Option<i64> {
    let file = |name: &str| format!("sys/class/hwmon/{chip}/{name}");
    let name = reader.word(&file("name"))?;
    if !matches!(name.as_str(), "coretemp" | "k10temp" | "zenpower" | "cpu_thermal") {
        return None;
    }
    let mut sensors = vec![];
    for input in reader.names(&file("")) {
        let Some(sensor) = input.strip_prefix("temp").and_then(|rest| rest.strip_suffix("_input")) else {
            continue;
        };
        let label = reader.word(&file(&format!("temp{sensor}_label")));
        if let Some(milli) = reader.number::<i64>(&file(&input)) {
            sensors.push((label.unwrap_or_default(), milli));
        }
    }
    package(&sensors)
}

fn of_zone(reader: &Reader<'_>, zone: &str) -> Option<i64> {
    let file = |name: &str| format!("sys/class/thermal/{zone}/{name}");
    let kind = reader.word(&file("type"))?.replace('_', "-");
    if !matches!(kind.as_str(), "x86-pkg-temp" | "cpu-thermal" | "soc-thermal" | "cpu0-thermal") {
        return None;
    }
    reader.number(&file("temp"))
}

/// The sensor of a chip that stands for the whole package, in thousandths of a degree. `Tctl` is what the fan is to believe, on some
/// Ryzens 27 degrees above the die.
fn package(sensors: &[(String, i64)]) -> Option<i64> {
    let of =
        |wanted: &str| sensors.iter().filter(|(label, _)| label.starts_with(wanted)).map(|(_, milli)| *milli).max();
    of("Package").or_else(|| of("Tdie")).or_else(|| of("Tctl")).or_else(|| of(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;

    #[test]
    fn the_package_speaks_for_its_cores_and_the_die_before_the_fan() {
        let sensors = |labels: &[(&str, i64)]| -> Vec<(String, i64)> {
            labels.iter().map(|(label, milli)| ((*label).to_owned(), *milli)).collect()
        };
        assert_eq!(package(&sensors(&[("Core 0", 70_000), ("Package id 0", 65_000)])), Some(65_000));
        assert_eq!(package(&sensors(&[("Tctl", 77_000), ("Tdie", 50_000), ("Tccd1", 49_000)])), Some(50_000));
        assert_eq!(package(&sensors(&[("Tctl", 50_000), ("Tccd1", 60_000)])), Some(50_000));
        assert_eq!(package(&sensors(&[("", 48_000)])), Some(48_000));
        assert_eq!(package(&[]), None);
    }

    #[test]
    fn the_hottest_package_counts_and_zones_only_without_one() {
        let tree = Tree::new(&[
            ("sys/class/thermal/thermal_zone0/type", "acpitz"),
            ("sys/class/thermal/thermal_zone0/temp", "90000"),
            ("sys/class/thermal/thermal_zone1/type", "cpu_thermal"),
            ("sys/class/thermal/thermal_zone1/temp", "41500"),
        ]);
        assert_eq!(tree.read(read).0, Some(41.5));
        for (chip, milli) in [("hwmon0", "30000"), ("hwmon1", "50000"), ("hwmon2", "odd")] {
            tree.write(&format!("sys/class/hwmon/{chip}/name"), "coretemp");
            tree.write(&format!("sys/class/hwmon/{chip}/temp1_label"), "Package id 0");
            tree.write(&format!("sys/class/hwmon/{chip}/temp1_input"), milli);
        }
        assert_eq!(tree.read(read).0, Some(50.0));
    }
}
