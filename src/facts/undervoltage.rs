//! Whether a Raspberry Pi's power supply is too weak, by its firmware. It then slows the CPU down, and writes may be lost.

use super::{Seen, problem::Problems};
use crate::{exposition::Exposition, gap::Reader, host::Machine};

/// What `get_throttled` of the firmware says now; 16 bits higher stands what has been, since boot or since the kernel's own driver looked.
const UNDER_VOLTAGE: u32 = 0x1;
const CAPPED: u32 = 0x2;
const THROTTLED: u32 = 0x4;
const SOFT_LIMIT: u32 = 0x8;
const HAS_BEEN: u32 = 16;

/// What the firmware says; nothing where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Firmware {
    /// The voltage was too low when the kernel last looked.
    pub alarm: bool,
    /// The bits of `get_throttled`, in Raspberry Pi's own kernels.
    pub throttled: Option<u32>,
}

/// Asks it.
pub fn read(machine: &Machine, reader: &Reader<'_>) -> Firmware {
    let chips = reader.names("sys/class/hwmon").into_iter().map(|chip| format!("sys/class/hwmon/{chip}"));
    let is_it = |chip: &String| reader.word(&format!("{chip}/name")).as_deref() == Some("rpi_volt");
    let firmware = "sys/bus/platform/drivers/raspberrypi-firmware";
    let found = reader.names(firmware).into_iter().filter(|name| name.contains(":firmware"));
    let mut found: Vec<String> = found.map(|name| format!("{firmware}/{name}")).collect();
    let usual = "sys/devices/platform/soc/soc:firmware";
    if found.is_empty() && reader.root().exists(&format!("{usual}/get_throttled")) {
        found.push(usual.to_owned());
    }
    let devices = chips.filter(is_it).chain(found).collect();
    let told = machine.ask_devices(reader, devices, |reader, device| Firmware {
        alarm: reader.number::<u32>(&format!("{device}/in0_lcrit_alarm")) == Some(1),
        throttled: reader.word(&format!("{device}/get_throttled")).and_then(|word| hexadecimal(&word)),
    });
    told.into_iter().fold(Firmware::default(), |all, one| Firmware {
        alarm: all.alarm || one.alarm,
        throttled: all.throttled.or(one.throttled),
    })
}

fn hexadecimal(word: &str) -> Option<u32> {
    u32::from_str_radix(word.trim_start_matches("0x"), 16).ok()
}

/// What the firmware says now; nothing where there is none.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let throttled = read(seen.machine, seen.reader).throttled;
    let is = |bits: u32| throttled.map(|throttled| throttled & bits != 0);
    page.gauge("smcp_under_voltage", "Whether a Raspberry Pi's power supply is too weak now.", is(UNDER_VOLTAGE));
    let help = "Whether a Raspberry Pi's firmware slows the CPU down now.";
    page.gauge("smcp_firmware_throttled", help, is(CAPPED | THROTTLED | SOFT_LIMIT));
}

/// One problem for the supply, and one for heat.
pub fn watch(machine: &Machine, reader: &Reader<'_>, problems: &mut Problems) {
    let Firmware { alarm, throttled } = read(machine, reader);
    let throttled = throttled.unwrap_or(0);
    let now = |bits: u32| throttled & bits != 0;
    if alarm || now(UNDER_VOLTAGE) {
        let slowed = if now(CAPPED | THROTTLED) { "; the CPU is slowed down" } else { "" };
        problems.critical("cpu", format!("under-voltage: the power supply is too weak{slowed}"));
    } else {
        if throttled >> HAS_BEEN & UNDER_VOLTAGE != 0 {
            problems.notice("cpu", "under-voltage: the power supply has been too weak at times");
        }
        if now(CAPPED | THROTTLED | SOFT_LIMIT) {
            problems.warning("cpu", "the firmware slows the CPU down for its heat");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{problem::Severity, tree::Tree};

    const FIRMWARE: &str = "sys/bus/platform/drivers/raspberrypi-firmware/soc:firmware/get_throttled";

    fn said(files: &[(&str, &str)]) -> Vec<(Severity, String)> {
        let (problems, gaps) = Tree::new(files).problems(watch);
        assert!(gaps.is_empty());
        problems.into_iter().map(|problem| (problem.severity, problem.what)).collect()
    }

    #[test]
    fn a_supply_that_is_too_weak_is_told_once_if_two_files_say_it() {
        let volt = ("sys/class/hwmon/hwmon3/name", "rpi_volt");
        let alarm = |state| ("sys/class/hwmon/hwmon3/in0_lcrit_alarm", state);
        assert_eq!(said(&[volt, alarm("0")]), []);
        let weak = "under-voltage: the power supply is too weak";
        assert_eq!(said(&[volt, alarm("1")]), [(Severity::Critical, weak.to_owned())]);
        let slowed = format!("{weak}; the CPU is slowed down");
        assert_eq!(said(&[volt, alarm("1"), (FIRMWARE, "50005\n")]), [(Severity::Critical, slowed)]);
        assert_eq!(said(&[("sys/class/hwmon/hwmon3/name", "other"), alarm("1")]), []);
    }

    #[test]
    fn what_was_is_good_to_know_and_heat_another_fault() {
        let severities = |bits| said(&[(FIRMWARE, bits)]).iter().map(|(severity, _)| *severity).collect::<Vec<_>>();
        assert_eq!(severities("0"), []);
        assert_eq!(severities("50000"), [Severity::Notice]);
        assert_eq!(severities("e0008"), [Severity::Warning]);
        assert_eq!(severities("f000e"), [Severity::Warning, Severity::Notice]);
        assert_eq!(severities("odd"), []);
        let direct = ("sys/devices/platform/soc/soc:firmware/get_throttled", "0x1");
        assert_eq!(said(&[direct]).len(), 1);
        let volt = [("sys/class/hwmon/hwmon0/name", "rpi_volt"), ("sys/class/hwmon/hwmon0/in0_lcrit_alarm", "0")];
        assert_eq!(said(&[direct, volt[0], volt[1]]).len(), 1);
    }
}
