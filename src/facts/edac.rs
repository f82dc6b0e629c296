//! Errors of the memory, as memory controllers count them (EDAC); see the kernel's admin-guide/RAS.

use super::{
    Seen,
    problem::{Problems, Severity, count, first_of},
};
use crate::{
    exposition::{Exposition, Kind},
    gap::Reader,
    host::Machine,
};

const CONTROLLERS: &str = "sys/devices/system/edac/mc";

/// Corrected errors a day that a sound memory may have: what mcelog takes for too many of one module.
const SOUND_A_DAY: u64 = 10;

/// What a memory controller has counted since boot, or since somebody reset it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Controller {
    /// `mc0`.
    pub name: String,
    /// Errors that damaged data.
    pub uncorrected: Option<u64>,
    /// Errors that were mended.
    pub corrected: Option<u64>,
    /// Seconds since it began to count.
    pub seconds: Option<u64>,
    /// The modules that had any, as the board labels them.
    pub modules: Vec<String>,
}

/// The memory controllers that count; none on a machine without such memory.
pub fn read(reader: &Reader<'_>) -> Vec<Controller> {
    let names = reader.names(CONTROLLERS);
    let is_controller = |name: &&String| name.strip_prefix("mc").is_some_and(|rest| rest.parse::<u32>().is_ok());
    names.iter().filter(is_controller).map(|name| Controller::read(reader, name)).collect()
}

impl Controller {
    fn read(reader: &Reader<'_>, name: &str) -> Self {
        let directory = format!("{CONTROLLERS}/{name}");
        let number = |file: &str| reader.number::<u64>(&format!("{directory}/{file}"));
        let (uncorrected, corrected) = (number("ue_count"), number("ce_count"));
        let any = uncorrected.into_iter().chain(corrected).any(|count| count > 0);
        Self {
            name: name.to_owned(),
            uncorrected,
            corrected,
            seconds: number("seconds_since_reset"),
            modules: if any { modules(reader, &directory) } else { vec![] },
        }
    }

    /// `up`: seconds since boot.
    fn problem(&self, up: u64) -> Option<(Severity, String)> {
        let (uncorrected, corrected) = (self.uncorrected.unwrap_or(0), self.corrected.unwrap_or(0));
        let days = self.seconds.unwrap_or(up) / 86_400 + 1;
        let severity = match (uncorrected, corrected) {
            (0, 0) => return None,
            (0, corrected) if corrected <= days.saturating_mul(SOUND_A_DAY) => Severity::Notice,
            (0, _) => Severity::Warning,
            _ => Severity::Critical,
        };
        let errors = match (uncorrected, corrected) {
            (0, _) => count(corrected, "corrected error", "corrected errors"),
            (_, 0) => count(uncorrected, "uncorrected error", "uncorrected errors"),
            _ => format!("{uncorrected} uncorrected and {}", count(corrected, "corrected error", "corrected errors")),
        };
        let modules: Vec<&str> = self.modules.iter().map(String::as_str).collect();
        let where_at = if modules.is_empty() { String::new() } else { format!(", in {}", first_of(&modules)) };
        Some((severity, format!("memory controller {}: {errors} since boot{where_at}", self.name)))
    }
}

/// The labels of modules with errors: since Linux 3.6 each is a directory, before that each channel of a row.
fn modules(reader: &Reader<'_>, directory: &str) -> Vec<String> {
    let mut modules = vec![];
    for part in reader.names(directory) {
        let file = |name: &str| format!("{directory}/{part}/{name}");
        let any =
            |names: &[&str]| names.iter().any(|name| reader.number::<u64>(&file(name)).is_some_and(|count| count > 0));
        if part.starts_with("dimm") || part.starts_with("rank") {
            if any(&["dimm_ue_count", "dimm_ce_count"]) {
                modules.push(reader.word(&file("dimm_label")).unwrap_or(part));
            }
        } else if part.starts_with("csrow") && any(&["ue_count", "ce_count"]) {
            for channel in 0..8 {
                if let Some(label) = reader.word(&file(&format!("ch{channel}_dimm_label")))
                    && any(&[&format!("ch{channel}_ce_count")])
                {
                    modules.push(label);
                }
            }
        }
    }
    modules.sort_unstable();
    modules.dedup();
    modules
}

/// The families, the files of a controller or a row, and their help.
const COUNTED: [(&str, &str, &str); 2] = [
    ("correctable", "ce", "Errors of the memory that were mended"),
    ("uncorrectable", "ue", "Errors of the memory that damaged data"),
];

/// The errors by memory controller, row of chips and channel.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let reader = seen.reader;
    let numbered = |directory: &str, kind: &str| -> Vec<String> {
        let number =
            |name: String| name.strip_prefix(kind).filter(|rest| rest.parse::<u32>().is_ok()).map(str::to_owned);
        reader.names(directory).into_iter().filter_map(number).collect()
    };
    let controllers: Vec<(String, Vec<String>)> = numbered(CONTROLLERS, "mc")
        .into_iter()
        .map(|controller| {
            let rows = numbered(&format!("{CONTROLLERS}/mc{controller}"), "csrow");
            (controller, rows)
        })
        .collect();
    for (word, file, help) in COUNTED {
        let count = |path: &str| reader.number::<u64>(&format!("{CONTROLLERS}/mc{path}"));
        let name = format!("node_edac_{word}_errors_total");
        let mut all = page.family(name, Kind::Counter, &format!("{help}, by controller."));
        for (controller, _) in &controllers {
            all.add(&[("controller", controller)], count(&format!("{controller}/{file}_count")));
        }
        drop(all);
        let name = format!("node_edac_csrow_{word}_errors_total");
        let mut each = page.family(name, Kind::Counter, &format!("{help}, by row of chips."));
        for (controller, rows) in &controllers {
            let labels = |row| [("controller", &**controller), ("csrow", row)];
            each.add(&labels("unknown"), count(&format!("{controller}/{file}_noinfo_count")));
            for row in rows {
                each.add(&labels(row), count(&format!("{controller}/csrow{row}/{file}_count")));
            }
        }
        drop(each);
        let name = format!("node_edac_channel_{word}_errors_total");
        let mut each = page.family(name, Kind::Counter, &format!("{help}, by channel."));
        for (controller, row) in controllers.iter().flat_map(|(one, rows)| rows.iter().map(move |row| (one, row))) {
            for channel in 0..8 {
                let path = format!("{controller}/csrow{row}/ch{channel}");
                let Some(errors) = count(&format!("{path}_{file}_count")) else { continue };
                let label = reader.word(&format!("{CONTROLLERS}/mc{path}_dimm_label")).unwrap_or_default();
                // a driver that knows no labels makes them: mc#0csrow#0channel#0
                let label = label.replace('#', "").replace("csrow", "_csrow").replace("channel", "_channel");
                let channel = channel.to_string();
                let labels =
                    [("controller", &**controller), ("csrow", row), ("channel", &channel), ("dimm_label", &label)];
                each.add(&labels, errors);
            }
        }
    }
}

/// One problem for each memory controller that had errors.
pub fn watch(machine: &Machine, reader: &Reader<'_>, problems: &mut Problems) {
    let up = machine.kernel.since_boot(&machine.root).as_secs();
    for (severity, what) in read(reader).iter().filter_map(|controller| controller.problem(up)) {
        problems.add(severity, "memory", what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;

    fn said(files: &[(&str, &str)]) -> Vec<(Severity, String)> {
        let tree = Tree::new(&[("sys/devices/system/edac/mc/power/runtime_status", "")]);
        for (file, text) in files {
            tree.write(&format!("{CONTROLLERS}/{file}"), text);
        }
        let (problems, gaps) = tree.problems(watch);
        assert!(gaps.is_empty());
        problems.into_iter().map(|problem| (problem.severity, problem.what)).collect()
    }

    #[test]
    fn memory_without_errors_or_without_counters_is_no_problem() {
        assert_eq!(said(&[]), []);
        assert_eq!(said(&[("mc0/ue_count", "0"), ("mc0/ce_count", "0")]), []);
        assert_eq!(said(&[("mc0/ue_count", "odd"), ("mc0/mc_name", "sb_edac")]), []);
    }

    #[test]
    fn a_few_corrected_errors_are_good_to_know_and_many_a_warning() {
        let of = |count, seconds| said(&[("mc0/ce_count", count), ("mc0/seconds_since_reset", seconds)]).remove(0);
        assert_eq!(of("1", "60"), (Severity::Notice, "memory controller mc0: 1 corrected error since boot".into()));
        assert_eq!(of("11", "60").0, Severity::Warning);
        assert_eq!(of("300", "8640000").0, Severity::Notice, "three a day");
        assert_eq!(of("3000", "8640000").0, Severity::Warning, "thirty a day");
    }

    #[test]
    fn an_uncorrected_error_is_critical_and_names_the_module() {
        let newer = said(&[
            ("mc0/ce_count", "0"),
            ("mc1/ue_count", "2"),
            ("mc1/ce_count", "40"),
            ("mc1/dimm0/dimm_label", "CPU1_DIMM_A1"),
            ("mc1/dimm0/dimm_ce_count", "40"),
            ("mc1/dimm1/dimm_label", "CPU1_DIMM_B1"),
            ("mc1/dimm1/dimm_ce_count", "0"),
            ("mc1/rank2/dimm_ue_count", "2"),
        ]);
        let what = "memory controller mc1: 2 uncorrected and 40 corrected errors since boot, in CPU1_DIMM_A1, rank2";
        assert_eq!(newer, [(Severity::Critical, what.to_owned())]);
        let older = said(&[
            ("mc0/ue_count", "1"),
            ("mc0/csrow1/ue_count", "1"),
            ("mc0/csrow1/ch0_dimm_label", "DIMM 3"),
            ("mc0/csrow1/ch0_ce_count", "5"),
            ("mc0/csrow1/ch1_dimm_label", "DIMM 4"),
            ("mc0/csrow1/ch1_ce_count", "0"),
        ]);
        let what = "memory controller mc0: 1 uncorrected error since boot, in DIMM 3";
        assert_eq!(older, [(Severity::Critical, what.to_owned())]);
    }
}
