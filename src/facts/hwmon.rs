//! Sensors that say themselves that something is wrong; see the kernel's hwmon/sysfs-interface.
//!
//! Not every alarm is a fault. Chips of many inputs set the bits of those that are not connected, and compare with limits that nobody has
//! set; so an alarm of a limit counts only where the figures bear it out, and limits of Super-I/O chips, which are on most mainboards and
//! set up on few, do not count at all. Critical limits are set by those who know the device.

use super::problem::{Problems, Severity, count};
use crate::{gap::Reader, host::Machine};

const CHIPS: &str = "sys/class/hwmon";

/// Super-I/O chips, by the beginnings of their names.
const SUPER_IO: &[&str] = &[
    "nct6", "nct7", "it86", "it87", "w836", "w837", "f718", "f719", "f81", "sch5", "dme17", "smsc47", "pc87", "vt12",
    "vt82", "via686", "lm78", "sis55", "emc6",
];

/// Lowest and highest temperature that something there is may have, in thousandths of a degree. A sensor without a device behind it reads
/// -128, 127.5 or 255 degrees.
const PLAUSIBLE: std::ops::Range<i64> = -60_000..150_000;

/// No device is too hot below this, in thousandths of a degree; a limit that nobody has set is often 0.
const WARM: i64 = 30_000;

/// Alarms of one chip that are told one by one.
const MOST: usize = 4;

/// Something that a sensor says is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    severity: Severity,
    /// By how much a temperature is above its limit, in thousandths of a degree; 0 where no limit is known.
    excess: i64,
    hot: bool,
    what: String,
}

/// One problem for each fault; of the temperatures of one chip the worst stands for all.
pub fn watch(machine: &Machine, reader: &Reader<'_>, problems: &mut Problems) {
    let chips = reader.names(CHIPS).into_iter().map(|chip| format!("{CHIPS}/{chip}")).collect();
    for (see, faults) in machine.ask_devices(reader, chips, faults) {
        say(see, faults, problems);
    }
}

fn say(see: &'static str, faults: Vec<Fault>, problems: &mut Problems) {
    let (mut hot, others): (Vec<_>, Vec<_>) = faults.into_iter().partition(|fault| fault.hot);
    hot.sort_by_key(|fault| (fault.severity, -fault.excess));
    if let Some(worst) = hot.first() {
        let more = match hot.len() - 1 {
            0 => String::new(),
            more => format!(", and {}", count(more as u64, "more sensor of it", "more sensors of it")),
        };
        problems.add(worst.severity, see, format!("{}{more}", worst.what));
    }
    let more = others.len().saturating_sub(MOST);
    for fault in others.iter().take(MOST) {
        problems.add(fault.severity, see, fault.what.as_str());
    }
    if more > 0 {
        problems.warning(see, format!("{more} more sensors of the same chip report faults"));
    }
}

/// What is wrong by the sensors of one chip, and the tool that tells more of what they are in.
fn faults(reader: &Reader<'_>, directory: &str) -> (&'static str, Vec<Fault>) {
    let Some(name) = reader.word(&format!("{directory}/name")) else { return ("identity", vec![]) };
    let see = match name.as_str() {
        "nvme" => "disks",
        "coretemp" | "k10temp" | "zenpower" | "cpu_thermal" => "cpu",
        _ => "identity",
    };
    // to ask drivetemp is to keep a disk from its sleep; the other is told as what it means
    if matches!(name.as_str(), "drivetemp" | "rpi_volt") {
        return (see, vec![]);
    }
    let files = reader.names(directory);
    let mut inputs: Vec<(&str, &str)> = files.iter().filter_map(|file| input(file)).collect();
    inputs.sort_unstable();
    inputs.dedup();
    let sensor = |(kind, number): (&str, &str)| {
        let sensor = Sensor { reader, directory, chip: &name, files: &files, kind, number };
        match kind {
            "temp" => sensor.temperature(),
            "fan" => sensor.fan(),
            _ => sensor.electrical(),
        }
    };
    (see, inputs.into_iter().filter_map(sensor).collect())
}

/// Kind and number of the input that a file is about, if the file can say that something is wrong with it.
fn input(file: &str) -> Option<(&str, &str)> {
    let (input, attribute) = file.split_once('_')?;
    let at = input.find(|c: char| c.is_ascii_digit())?;
    let (kind, number) = input.split_at(at);
    let tells = attribute.ends_with("alarm")
        || match kind {
            "temp" => matches!(attribute, "fault" | "crit" | "emergency"),
            "fan" => attribute == "fault",
            _ => false,
        };
    (tells && matches!(kind, "temp" | "fan" | "in" | "curr" | "power")).then_some((kind, number))
}

/// One input of a chip.
#[derive(Clone, Copy)]
struct Sensor<'a> {
    reader: &'a Reader<'a>,
    directory: &'a str,
    chip: &'a str,
    /// The chip's files.
    files: &'a [String],
    kind: &'a str,
    number: &'a str,
}

impl Sensor<'_> {
    /// Whether it sits on a memory module. The maximum of such a sensor is its maker's default, 55 °C, which a module passes under load.
    fn is_memory_module(&self) -> bool {
        ["spd5118", "jc42"].contains(&self.chip)
    }

    /// Whether the chip has this file.
    fn has(&self, attribute: &str) -> bool {
        self.files.contains(&format!("{}{}_{attribute}", self.kind, self.number))
    }

    /// `None`: the chip has no such file, or cannot tell.
    fn value(&self, attribute: &str) -> Option<i64> {
        let read = || self.reader.number(&format!("{}/{}{}_{attribute}", self.directory, self.kind, self.number));
        self.has(attribute).then(read).flatten()
    }

    fn is_set(&self, attribute: &str) -> bool {
        self.value(attribute) == Some(1)
    }

    /// Whether what the chip says of limits, and of inputs that may hang in the air, is to be believed.
    fn is_set_up(&self) -> bool {
        !SUPER_IO.iter().any(|chip| self.chip.starts_with(chip))
    }

    fn name(&self) -> String {
        let (kind, number) = (self.kind, self.number);
        let label = self.has("label").then(|| self.reader.word(&format!("{}/{kind}{number}_label", self.directory)));
        format!("{} {}", self.chip, label.flatten().unwrap_or_else(|| format!("{kind}{number}")))
    }

    fn fault(&self, severity: Severity, what: &str) -> Fault {
        Fault { severity, excess: 0, hot: false, what: format!("{} {what}", self.name()) }
    }

    fn temperature(&self) -> Option<Fault> {
        let now = self.value("input");
        // nothing may be connected, or it does not answer
        if !self.is_set_up() || now.map_or(self.has("input"), |now| !is_plausible(now)) {
            return None;
        }
        let above =
            |limit: &str| self.value(limit).filter(|limit| *limit >= WARM && now.is_some_and(|now| now >= *limit));
        let hot = |severity, limit: Option<i64>, word: &str| {
            let excess = now.zip(limit).map_or(0, |(now, limit)| now - limit);
            let what = match (now, limit) {
                (Some(now), Some(limit)) if now >= limit => {
                    format!("{} is at {}, above its {word} {}", self.name(), celsius(now), celsius(limit))
                }
                (Some(now), _) => format!("{} reports that it is too hot, at {}", self.name(), celsius(now)),
                (None, _) => format!("{} reports that it is too hot", self.name()),
            };
            Some(Fault { severity, excess, hot: true, what })
        };
        if let Some(limit) = above("emergency") {
            return hot(Severity::Critical, Some(limit), "emergency limit");
        }
        let critical = above("crit");
        let may_be_hot = now.is_none_or(|now| now >= WARM);
        if critical.is_some() || may_be_hot && (self.is_set("crit_alarm") || self.is_set("emergency_alarm")) {
            return hot(Severity::Critical, critical, "critical");
        }
        if now.is_some_and(|now| now != 0) && self.is_set("lcrit_alarm") {
            let at = now.map_or(String::new(), celsius);
            return Some(self.fault(Severity::Warning, &format!("is below its critical minimum, at {at}")));
        }
        let is_over = || {
            let limit = self.value("max");
            // a bit may stay set after the heat is gone
            (self.is_set("alarm") || self.is_set("max_alarm")) && limit.is_none_or(|_| above("max").is_some())
        };
        if may_be_hot && !self.is_memory_module() && is_over() {
            return hot(Severity::Warning, above("max"), "maximum");
        }
        let is_faulty = now.is_some_and(|now| now != 0) && self.is_set("fault");
        is_faulty.then(|| self.fault(Severity::Warning, "reports that its sensor is faulty"))
    }

    fn fan(&self) -> Option<Fault> {
        let now = self.value("input");
        let turns = |now: Option<i64>| now.map_or(String::new(), |now| format!(", at {now} rpm"));
        if self.is_set("fault") {
            return Some(self.fault(Severity::Critical, &format!("reports that the fan has failed{}", turns(now))));
        }
        let is_slow = || {
            let least = self.value("min").filter(|least| *least > 0);
            (self.is_set("alarm") || self.is_set("min_alarm"))
                && now.zip(least).is_none_or(|(now, least)| now < least)
                && now.is_none_or(|now| now == 0 || least.is_some())
        };
        (self.is_set_up() && is_slow())
            .then(|| self.fault(Severity::Warning, &format!("reports that the fan is too slow{}", turns(now))))
    }

    /// Volts, amperes and watts.
    fn electrical(&self) -> Option<Fault> {
        let now = self.value("input");
        let at = || now.map_or(String::new(), |now| format!(", at {}", self.amount(now)));
        if self.is_set("lcrit_alarm") {
            return Some(self.fault(Severity::Critical, &format!("is below its critical minimum{}", at())));
        }
        if self.is_set("crit_alarm") {
            return Some(self.fault(Severity::Critical, &format!("is above its critical maximum{}", at())));
        }
        if !self.is_set_up() {
            return None;
        }
        let (least, most) = (self.value("min"), self.value("max").filter(|most| *most > 0));
        let is_below = now.zip(least).map(|(now, least)| now < least);
        let is_above = now.zip(most).map(|(now, most)| now > most);
        let any = self.is_set("alarm");
        if (any || self.is_set("min_alarm")) && is_below == Some(true) {
            return Some(self.fault(Severity::Warning, &format!("is below its minimum{}", at())));
        }
        if (any || self.is_set("max_alarm")) && is_above == Some(true) {
            return Some(self.fault(Severity::Warning, &format!("is above its maximum{}", at())));
        }
        // without limits that can be read the chip must be believed
        (any && is_below.is_none() && is_above.is_none())
            .then(|| self.fault(Severity::Warning, &format!("reports an alarm{}", at())))
    }

    fn amount(&self, now: i64) -> String {
        match self.kind {
            "in" => format!("{:.2} V", now as f64 / 1e3),
            "curr" => format!("{:.2} A", now as f64 / 1e3),
            _ => format!("{:.1} W", now as f64 / 1e6),
        }
    }
}

/// Whether there can be something of this temperature, in thousandths of a degree.
pub(super) fn is_plausible(milli: i64) -> bool {
    // 127 degrees and more are what the largest numbers of eight bits stand for
    PLAUSIBLE.contains(&milli) && !(127_000..=128_000).contains(&milli)
}

/// `84.9 °C`, of thousandths of a degree.
pub(super) fn celsius(milli: i64) -> String {
    let degrees = format!("{:.1}", milli as f64 / 1e3);
    format!("{} °C", degrees.strip_suffix(".0").unwrap_or(&degrees))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{gap::Gaps, tree::Tree};

    fn found(chip: &str, files: &[(&str, &str)]) -> (Vec<(Severity, String)>, Gaps) {
        let tree = Tree::new(&[("sys/class/hwmon/hwmon2/name", chip)]);
        for (file, text) in files {
            tree.write(&format!("sys/class/hwmon/hwmon2/{file}"), text);
        }
        let (problems, gaps) = tree.problems(watch);
        (problems.into_iter().map(|problem| (problem.severity, problem.what)).collect(), gaps)
    }

    fn said(chip: &str, files: &[(&str, &str)]) -> Vec<(Severity, String)> {
        let (said, gaps) = found(chip, files);
        assert!(gaps.is_empty(), "{gaps:?}");
        said
    }

    fn critical(what: &str) -> Vec<(Severity, String)> {
        vec![(Severity::Critical, what.to_owned())]
    }

    fn warning(what: &str) -> Vec<(Severity, String)> {
        vec![(Severity::Warning, what.to_owned())]
    }

    #[test]
    fn a_cool_machine_has_no_problem() {
        let files = [
            ("temp1_input", "54000"),
            ("temp1_max", "80000"),
            ("temp1_crit", "100000"),
            ("temp1_crit_alarm", "0"),
            ("fan1_input", "0"),
            ("in0_input", "1100"),
            ("in0_alarm", "0"),
            ("intrusion0_alarm", "1"),
            ("pwm1_enable", "1"),
        ];
        assert_eq!(said("coretemp", &files), []);
    }

    #[test]
    fn a_memory_module_above_its_default_maximum_is_well() {
        let warm =
            [("temp1_input", "58000"), ("temp1_max", "55000"), ("temp1_max_alarm", "1"), ("temp1_crit", "85000")];
        assert_eq!(said("spd5118", &warm), []);
        assert_eq!(said("coretemp", &warm).len(), 1);
        let hot = [("temp1_input", "86000"), ("temp1_max", "55000"), ("temp1_crit", "85000")];
        assert_eq!(said("spd5118", &hot)[0].0, Severity::Critical);
    }

    #[test]
    fn the_hottest_sensor_of_a_chip_stands_for_all() {
        let files = [
            ("temp1_label", "Package id 0"),
            ("temp1_input", "103000"),
            ("temp1_crit", "100000"),
            ("temp1_crit_alarm", "1"),
            ("temp2_label", "Core 0"),
            ("temp2_input", "101000"),
            ("temp2_crit", "100000"),
            ("temp3_label", "Core 1"),
            ("temp3_input", "99000"),
            ("temp3_crit", "100000"),
        ];
        let what = "coretemp Package id 0 is at 103 °C, above its critical 100 °C, and 1 more sensor of it";
        assert_eq!(said("coretemp", &files), critical(what));
    }

    #[test]
    fn a_critical_alarm_is_believed_where_something_is_connected() {
        let alarm =
            |input| said("lm90", &[("temp2_input", input), ("temp2_crit", "100000"), ("temp2_crit_alarm", "1")]);
        assert_eq!(alarm("97250"), critical("lm90 temp2 reports that it is too hot, at 97.2 °C"));
        for unconnected in ["-128000", "0", "127000", "127875", "255000", "", "odd"] {
            assert_eq!(alarm(unconnected), [], "{unconnected}");
        }
        assert_eq!(said("lm90", &[("temp2_crit_alarm", "1")]), critical("lm90 temp2 reports that it is too hot"));
    }

    #[test]
    fn limits_that_nobody_set_do_not_count() {
        assert_eq!(said("tmp401", &[("temp1_input", "45000"), ("temp1_crit", "0")]), []);
        assert_eq!(said("tmp401", &[("temp1_input", "45000"), ("temp1_max", "80000"), ("temp1_max_alarm", "1")]), []);
        let over = [("temp1_input", "85000"), ("temp1_max", "80000"), ("temp1_alarm", "1")];
        assert_eq!(said("nvme", &over), warning("nvme temp1 is at 85 °C, above its maximum 80 °C"));
        assert_eq!(said("nct6775", &over), [], "a Super-I/O chip's input may hang in the air");
        assert_eq!(said("nct6775", &[("temp7_input", "117000"), ("temp7_crit", "100000")]), []);
        assert_eq!(said("nct6775", &[("in3_input", "0"), ("in3_min", "0"), ("in3_max", "0"), ("in3_alarm", "1")]), []);
        assert_eq!(said("it8728", &[("fan2_input", "0"), ("fan2_alarm", "1")]), []);
    }

    #[test]
    fn a_fan_that_has_failed_or_stands_is_told() {
        let failed = "pmbus fan1 reports that the fan has failed, at 0 rpm";
        assert_eq!(said("pmbus", &[("fan1_input", "0"), ("fan1_fault", "1")]), critical(failed));
        let slow = "max31790 Front reports that the fan is too slow, at 300 rpm";
        let files = [("fan2_input", "300"), ("fan2_min", "900"), ("fan2_alarm", "1"), ("fan2_label", "Front")];
        assert_eq!(said("max31790", &files), warning(slow));
        assert_eq!(said("max31790", &[("fan2_input", "1300"), ("fan2_min", "900"), ("fan2_alarm", "1")]), []);
        let stands = "adt7470 fan3 reports that the fan is too slow, at 0 rpm";
        assert_eq!(said("adt7470", &[("fan3_input", "0"), ("fan3_alarm", "1")]), warning(stands));
    }

    #[test]
    fn voltages_and_currents_beyond_their_limits_are_told() {
        let low = "ltc2978 vout1 is below its critical minimum, at 0.81 V";
        let files = [("in1_label", "vout1"), ("in1_input", "812"), ("in1_lcrit_alarm", "1"), ("in1_min_alarm", "1")];
        assert_eq!(said("ltc2978", &files), critical(low));
        let high = "ina226 curr1 is above its critical maximum, at 9.50 A";
        assert_eq!(said("ina226", &[("curr1_input", "9500"), ("curr1_crit_alarm", "1")]), critical(high));
        let above = "pmbus power2 is above its maximum, at 512.0 W";
        let files = [("power2_input", "512000000"), ("power2_max", "500000000"), ("power2_alarm", "1")];
        assert_eq!(said("pmbus", &files), warning(above));
        let files = [("power2_input", "512000000"), ("power2_cap_alarm", "1")];
        assert_eq!(said("acpi_power_meter", &files), [], "that the cap holds is what it is for");
        assert_eq!(said("pmbus", &[("in2_alarm", "1")]), warning("pmbus in2 reports an alarm"));
    }

    #[test]
    fn many_alarms_of_one_chip_are_counted() {
        let files: Vec<(String, &str)> = (0..9).map(|number| (format!("in{number}_lcrit_alarm"), "1")).collect();
        let files: Vec<_> = files.iter().map(|(file, text)| (file.as_str(), *text)).collect();
        let said = said("ucd9000", &files);
        assert_eq!(said.len(), MOST + 1);
        assert_eq!(said[MOST].1, "5 more sensors of the same chip report faults");
    }

    #[test]
    fn what_sleeps_is_not_woken_and_what_is_told_elsewhere_not_repeated() {
        let hot = [("temp1_input", "75000"), ("temp1_crit", "60000")];
        assert_eq!(said("drivetemp", &hot), []);
        assert_eq!(said("rpi_volt", &[("in0_lcrit_alarm", "1")]), []);
    }

    #[test]
    fn faults_of_a_sensor_count_where_it_reads_something() {
        let faulty = "jc42 temp1 reports that its sensor is faulty";
        assert_eq!(said("jc42", &[("temp1_input", "31000"), ("temp1_fault", "1")]), warning(faulty));
        for unconnected in ["-128000", "0", "255000", ""] {
            assert_eq!(said("jc42", &[("temp1_input", unconnected), ("temp1_fault", "1")]), []);
            assert_eq!(said("jc42", &[("temp1_input", unconnected), ("temp1_lcrit_alarm", "1")]), []);
        }
        let cold = "jc42 temp1 is below its critical minimum, at -21.5 °C";
        assert_eq!(said("jc42", &[("temp1_input", "-21500"), ("temp1_lcrit_alarm", "1")]), warning(cold));
    }
}
