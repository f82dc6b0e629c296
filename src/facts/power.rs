//! Batteries and power supplies that say themselves that they fail; see the kernel's ABI/testing/sysfs-class-power.

use super::{
    Seen,
    problem::{Problems, Severity},
};
use crate::{
    exposition::{Exposition, Kind},
    gap::Reader,
    host::Machine,
};

const SUPPLIES: &str = "sys/class/power_supply";

/// What one supply says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Supply {
    /// `BAT0`.
    pub name: String,
    /// `Good`, `Overheat`, `Dead` and so on.
    pub health: Option<String>,
    /// `Charging`, `Discharging`, `Full` and so on.
    pub status: Option<String>,
    /// Percent.
    pub capacity: Option<u8>,
    /// `Critical`, `Low`, `Normal`, `High`, `Full`.
    pub level: Option<String>,
}

/// The supplies of the machine itself: no mouse's battery, and none that is taken out.
pub fn read(machine: &Machine, reader: &Reader<'_>) -> Vec<Supply> {
    let supplies = reader.names(SUPPLIES).into_iter().map(|name| format!("{SUPPLIES}/{name}")).collect();
    machine.ask_devices(reader, supplies, Supply::read).into_iter().flatten().collect()
}

impl Supply {
    fn read(reader: &Reader<'_>, directory: &str) -> Option<Self> {
        let word = |file: &str| reader.word(&format!("{directory}/{file}"));
        if word("scope").as_deref() == Some("Device") || word("present").as_deref() == Some("0") {
            return None;
        }
        Some(Self {
            name: directory.rsplit('/').next()?.to_owned(),
            health: word("health"),
            status: word("status"),
            capacity: word("capacity").and_then(|percent| percent.parse().ok()),
            level: word("capacity_level"),
        })
    }

    fn problem(&self) -> Option<(Severity, String)> {
        let name = &self.name;
        let is_empty = self.level.as_deref() == Some("Critical") || self.capacity.is_some_and(|percent| percent <= 5);
        if is_empty && !matches!(self.status.as_deref(), Some("Charging" | "Full")) {
            let left = self.capacity.map_or(String::new(), |percent| format!(": {percent} %"));
            return Some((Severity::Critical, format!("battery {name} is nearly empty{left}")));
        }
        let severity = match self.health.as_deref()? {
            "Overheat"
            | "Dead"
            | "Over voltage"
            | "Under voltage"
            | "Over current"
            | "Unspecified failure"
            | "Blown fuse"
            | "Cell imbalance" => Severity::Critical,
            "Hot" | "Cold" | "Watchdog timer expire" | "Safety timer expire" => Severity::Warning,
            // Good, Unknown, Warm, Cool, Calibration required, No battery
            _ => return None,
        };
        Some((severity, format!("power supply {name}: {}", self.health.as_deref()?)))
    }
}

/// The kernel's files, how they stand in the names of families, and how many of their units make one of the family's.
const FIGURES: &[(&str, &str, f64)] = &[
    ("authentic", "authentic", 1.0),
    ("calibrate", "calibrate", 1.0),
    ("capacity", "capacity", 1.0),
    ("capacity_alert_max", "capacity_alert_max", 1.0),
    ("capacity_alert_min", "capacity_alert_min", 1.0),
    ("charge_control_limit", "charge_control_limit", 1e6),
    ("charge_control_limit_max", "charge_control_limit_max", 1e6),
    ("charge_counter", "charge_counter", 1e6),
    ("charge_empty", "charge_empty", 1e6),
    ("charge_empty_design", "charge_empty_design", 1e6),
    ("charge_full", "charge_full", 1e6),
    ("charge_full_design", "charge_full_design", 1e6),
    ("charge_now", "charge_ampere", 1e6),
    ("charge_term_current", "charge_term_current", 1e6),
    ("constant_charge_current", "constant_charge_current", 1e6),
    ("constant_charge_current_max", "constant_charge_current_max", 1e6),
    ("constant_charge_voltage", "constant_charge_voltage", 1e6),
    ("constant_charge_voltage_max", "constant_charge_voltage_max", 1e6),
    ("current_boot", "current_boot", 1e6),
    ("current_max", "current_max", 1e6),
    ("current_now", "current_ampere", 1e6),
    ("cycle_count", "cyclecount", 1.0),
    ("energy_empty", "energy_empty", 1e6),
    ("energy_empty_design", "energy_empty_design", 1e6),
    ("energy_full", "energy_full", 1e6),
    ("energy_full_design", "energy_full_design", 1e6),
    ("energy_now", "energy_watthour", 1e6),
    ("input_current_limit", "input_current_limit", 1e6),
    ("online", "online", 1.0),
    ("power_now", "power_watt", 1e6),
    ("precharge_current", "precharge_current", 1e6),
    ("present", "present", 1.0),
    ("temp", "temp_celsius", 10.0),
    ("temp_alert_max", "temp_alert_max_celsius", 10.0),
    ("temp_alert_min", "temp_alert_min_celsius", 10.0),
    ("temp_ambient", "temp_ambient_celsius", 10.0),
    ("temp_max", "temp_max_celsius", 10.0),
    ("temp_min", "temp_min_celsius", 10.0),
    ("time_to_empty_now", "time_to_empty_seconds", 1.0),
    ("time_to_full_now", "time_to_full_seconds", 1.0),
    ("voltage_boot", "voltage_boot", 1e6),
    ("voltage_max", "voltage_max", 1e6),
    ("voltage_max_design", "voltage_max_design", 1e6),
    ("voltage_min", "voltage_min", 1e6),
    ("voltage_min_design", "voltage_min_design", 1e6),
    ("voltage_now", "voltage_volt", 1e6),
    ("voltage_ocv", "voltage_ocv", 1e6),
];

/// What a supply says in words. Its serial number is not told: it names one battery for ever.
const WORDS: &[&str] = &[
    "capacity_level",
    "charge_type",
    "health",
    "manufacturer",
    "model_name",
    "scope",
    "status",
    "technology",
    "type",
    "usb_type",
];

/// What all supplies say, also those of mice and keyboards.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let supplies = seen.reader.names(SUPPLIES).into_iter().map(|name| format!("{SUPPLIES}/{name}")).collect();
    let mut supplies = seen.machine.ask_devices(seen.reader, supplies, |reader, directory| {
        let name = directory.rsplit('/').next().unwrap_or_default().to_owned();
        let file = |file: &str| format!("{directory}/{file}");
        let figures: Vec<Option<i64>> = FIGURES.iter().map(|(name, ..)| reader.number(&file(name))).collect();
        let words: Vec<String> = WORDS.iter().map(|name| reader.word(&file(name)).unwrap_or_default()).collect();
        (name, figures, words)
    });
    supplies.sort_unstable();
    for (at, (file, word, units)) in FIGURES.iter().enumerate() {
        let help = format!("What {file} of each power supply says.");
        let mut family = page.family(format!("node_power_supply_{word}"), Kind::Gauge, &help);
        for (name, figures, _) in &supplies {
            family.add(&[("power_supply", name)], figures[at].map(|figure| figure as f64 / units));
        }
    }
    let mut info = page.family("node_power_supply_info", Kind::Gauge, "What each power supply says in words.");
    for (name, _, words) in &supplies {
        let words = WORDS.iter().copied().zip(words.iter().map(String::as_str));
        info.add(&[("power_supply", &**name)].into_iter().chain(words).collect::<Vec<_>>(), 1_u64);
    }
}

/// One problem for each supply that fails.
pub fn watch(machine: &Machine, reader: &Reader<'_>, problems: &mut Problems) {
    for (severity, what) in read(machine, reader).iter().filter_map(Supply::problem) {
        problems.add(severity, "identity", what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;

    fn said(files: &[(&str, &str)]) -> Vec<(Severity, String)> {
        let tree = Tree::new(&[]);
        for (file, text) in files {
            tree.write(&format!("{SUPPLIES}/BAT1/{file}"), text);
        }
        let (problems, gaps) = tree.problems(watch);
        assert!(gaps.is_empty());
        problems.into_iter().map(|problem| (problem.severity, problem.what)).collect()
    }

    #[test]
    fn what_is_well_or_says_nothing_is_no_problem() {
        assert_eq!(said(&[]), []);
        for (health, status, level) in
            [("Good", "Discharging", "Normal"), ("Unknown", "Full", "Full"), ("Warm", "", "")]
        {
            assert_eq!(said(&[("health", health), ("status", status), ("capacity_level", level)]), []);
        }
        // on the mains it fills up
        assert_eq!(said(&[("status", "Charging"), ("capacity", "2"), ("capacity_level", "Critical")]), []);
        assert_eq!(said(&[("status", "Discharging"), ("capacity", "1"), ("scope", "Device")]), []);
        assert_eq!(said(&[("health", "Dead"), ("present", "0")]), []);
    }

    #[test]
    fn a_battery_that_fails_or_runs_out_is_told_once() {
        let empty = (Severity::Critical, "battery BAT1 is nearly empty: 4 %".to_owned());
        assert_eq!(said(&[("status", "Discharging"), ("capacity", "4")]), [empty]);
        let level = (Severity::Critical, "battery BAT1 is nearly empty".to_owned());
        for status in ["Discharging", ""] {
            assert_eq!(said(&[("status", status), ("capacity_level", "Critical")]), vec![level.clone()]);
        }
        let hot = (Severity::Critical, "power supply BAT1: Overheat".to_owned());
        assert_eq!(said(&[("health", "Overheat"), ("status", "Charging")]), [hot]);
    }
}
