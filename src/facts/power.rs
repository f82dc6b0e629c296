//! Batteries and power supplies that say themselves that they fail; see the kernel's ABI/testing/sysfs-class-power.

use super::problem::{Problems, Severity};
use crate::{gap::Reader, host::Machine};

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

/// One problem for each supply that fails.
pub fn watch(machine: &Machine, reader: &Reader<'_>, problems: &mut Problems) {
    for (severity, what) in read(machine, reader).iter().filter_map(Supply::problem) {
        problems.add(severity, "identity", what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tree::Tree;

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
