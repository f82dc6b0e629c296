//! `/proc/cpuinfo`, see proc_cpuinfo(5). Every architecture writes its own words; under lxcfs only the container's CPUs
//! are in it.

mod names;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Malformed, Position, decimal};

/// The machine's CPUs. What an architecture does not say is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cpuinfo {
    /// CPUs the scheduler sees.
    pub logical: Option<u32>,
    /// Sockets (`physical id`, `package`); x86 and LoongArch say.
    pub packages: Option<u32>,
    /// Cores of all sockets (`core id`, `core`), threads of one counted once; x86 and LoongArch say.
    pub cores: Option<u32>,
    /// `model name`, `cpu model`, `cpu`, `uarch` or whatever else an architecture calls it; of several kinds of ARM cores all.
    pub model_name: Option<String>,
    /// `vendor_id`; on ARM the name of the `CPU implementer`, on RISC-V that of the `mvendorid`, or its number.
    pub vendor: Option<String>,
    /// `Model`, `Hardware`, `machine` or `system type`: the board of a machine without DMI.
    pub board: Option<String>,
    /// Megahertz now, by CPU number (`cpu MHz`); x86 says.
    pub mhz: BTreeMap<u32, f64>,
    /// Whether the flag `hypervisor` is set: an x86 virtual machine. Other architectures have no such flag.
    pub hypervisor: bool,
    /// ARM's kind of core (implementer and part), by CPU number; old kernels say it once, for the last CPU.
    pub kinds: BTreeMap<u32, (u16, u16)>,
}

impl Cpuinfo {
    /// Reads the text of `/proc/cpuinfo`. A line that makes no sense is left out; the first one is named.
    pub fn parse(text: &str) -> (Self, Option<Malformed>) {
        let (mut lines, mut odd) = (Lines::default(), None);
        for (number, line) in text.lines().enumerate() {
            if !lines.line(line.as_bytes()) {
                odd = odd.or(Some(Malformed { file: "cpuinfo", position: Position::Line(number + 1) }));
            }
        }
        (lines.cpuinfo(), odd)
    }
}

/// What the lines up to now have told. Of 4,096 CPUs the file is longer than is read at once.
#[derive(Debug, Default)]
pub struct Lines {
    processors: BTreeSet<u32>,
    packages: BTreeSet<u32>,
    cores: BTreeSet<(u32, u32)>,
    processor: u32,
    package: Option<u32>,
    implementer: Option<u16>,
    mhz: BTreeMap<u32, f64>,
    kinds: BTreeMap<u32, (u16, u16)>,
    /// Kinds of ARM cores in the order in which they come.
    order: Vec<(u16, u16)>,
    hypervisor: Option<bool>,
    /// The first value of each name in [`KEPT`].
    first: HashMap<&'static str, String>,
}

/// The names whose first value is kept.
const KEPT: &[&str] = &[
    "model name",
    "Model Name",
    "uarch",
    "cpu model",
    "cpu",
    "cpu type",
    "Processor",
    "isa",
    "vendor_id",
    "vendor",
    "CPU implementer",
    "mvendorid",
    "Model",
    "Hardware",
    "machine",
    "system type",
    "family",
    "s390 machine",
];

impl Lines {
    /// Takes the next line. False: it makes no sense.
    pub fn line(&mut self, line: &[u8]) -> bool {
        let line = String::from_utf8_lossy(line);
        field(&line).is_none_or(|(name, value)| self.field(name, value).is_some())
    }

    fn field(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            // Old ARM kernels write the model here, under a capital letter.
            "processor" => self.processor(value)?,
            // LoongArch says `package` and `core`
            "physical id" | "package" => {
                let package = value.parse().ok()?;
                self.package = Some(package);
                self.packages.insert(package);
            }
            "core id" | "core" => {
                let core = value.parse().ok()?;
                self.cores.extend(self.package.map(|package| (package, core)));
            }
            "cpu MHz" => drop(self.mhz.insert(self.processor, decimal(value)?)),
            "CPU implementer" => self.implementer = Some(hexadecimal(value)?),
            "CPU part" => self.part(hexadecimal(value)?),
            "flags" if self.hypervisor.is_none() => {
                self.hypervisor = Some(value.split_ascii_whitespace().any(|flag| flag == "hypervisor"));
            }
            _ => self.of_other_forms(name, value)?,
        }
        if let Some(kept) = KEPT.iter().find(|kept| **kept == name) {
            self.first.entry(*kept).or_insert_with(|| value.to_owned());
        }
        Some(())
    }

    fn processor(&mut self, number: &str) -> Option<()> {
        self.processor = number.parse().ok()?;
        self.processors.insert(self.processor);
        self.package = None;
        Some(())
    }

    fn part(&mut self, part: u16) {
        let Some(implementer) = self.implementer else { return };
        let kind = (implementer, part);
        self.kinds.insert(self.processor, kind);
        if !self.order.contains(&kind) {
            self.order.push(kind);
        }
    }

    /// `processor 3: version = 00,  identification = 4729E7,  machine = 2964` of s390, `CPU7: online` of SPARC.
    fn of_other_forms(&mut self, name: &str, value: &str) -> Option<()> {
        if let Some(number) = name.strip_prefix("processor ") {
            self.processor(number)?;
            if let Some((_, machine)) = value.rsplit_once("machine = ") {
                self.first.entry("s390 machine").or_insert_with(|| machine.to_owned());
            }
        } else if value == "online"
            && let Some(number) = name.strip_prefix("CPU")
        {
            self.processor(number)?;
        }
        Some(())
    }

    /// The CPUs that these lines tell of.
    pub fn cpuinfo(self) -> Cpuinfo {
        Cpuinfo {
            logical: some(self.processors.len()),
            packages: some(self.packages.len()),
            cores: some(self.cores.len()),
            model_name: self.model_name(),
            vendor: self.vendor(),
            board: self.first(&["Model", "Hardware", "machine", "system type"]).map(str::to_owned),
            mhz: self.mhz,
            hypervisor: self.hypervisor.unwrap_or(false),
            kinds: self.kinds,
        }
    }

    fn first(&self, names: &[&'static str]) -> Option<&str> {
        names.iter().find_map(|name| self.first.get(*name)).map(String::as_str)
    }

    fn model_name(&self) -> Option<String> {
        let maker = |implementer: u16| names::implementer(&format!("{implementer:#04x}"));
        let core = |(implementer, part): &(u16, u16)| {
            let number = || maker(*implementer).map(|_| format!("part {part:#05x}"));
            names::part(*implementer, *part).map(str::to_owned).or_else(number)
        };
        let cores: Vec<String> = self.order.iter().filter_map(core).collect();
        if !cores.is_empty() {
            return Some(cores.join(", "));
        }
        let told = self.first(&["model name", "Model Name", "uarch", "cpu model", "cpu", "cpu type", "Processor"]);
        // Itanium has no other name, RISC-V's extensions after the first underscore are many
        let told = told.or_else(|| self.first(&["family"])).map(str::to_owned);
        let isa = || self.first(&["isa"])?.split('_').next().map(str::to_owned);
        let mainframe = || {
            let machine = self.first(&["s390 machine"])?;
            Some(names::mainframe(machine).map_or_else(|| machine.to_owned(), |name| format!("{name} ({machine})")))
        };
        told.or_else(isa).or_else(mainframe)
    }

    fn vendor(&self) -> Option<String> {
        let implementer =
            || self.first(&["CPU implementer"]).map(|number| names::implementer(number).unwrap_or(number));
        let told = self.first(&["vendor_id", "vendor"]).or_else(implementer);
        told.or_else(|| names::mvendorid(self.first(&["mvendorid"])?)).map(str::to_owned)
    }
}

fn field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    Some((name.trim_ascii(), value.trim_ascii())).filter(|(_, value)| !value.is_empty())
}

fn some(count: usize) -> Option<u32> {
    u32::try_from(count).ok().filter(|count| *count > 0)
}

fn hexadecimal(word: &str) -> Option<u16> {
    u16::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Cpuinfo {
        let (cpuinfo, odd) = Cpuinfo::parse(text);
        assert_eq!(odd, None, "{text}");
        cpuinfo
    }

    /// Model, vendor and board.
    fn names(text: &str) -> [Option<String>; 3] {
        let Cpuinfo { model_name, vendor, board, .. } = parse(text);
        [model_name, vendor, board]
    }

    fn told(words: [&str; 3]) -> [Option<String>; 3] {
        words.map(|word| Some(word.to_owned()).filter(|word| !word.is_empty()))
    }

    #[test]
    fn threads_of_one_core_are_one_core() {
        let cpu = |processor: u32, package: u32, core: u32| {
            format!(
                "processor\t: {processor}\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) CPU\ncpu MHz\t\t: 2596.138\n\
                physical id\t: {package}\ncore id\t\t: {core}\nflags\t\t: fpu vme hypervisor\npower management:\n\n"
            )
        };
        let text = [cpu(0, 0, 0), cpu(1, 0, 0), cpu(2, 1, 0), cpu(5, 1, 1)].concat();
        let cpuinfo = parse(&text);
        assert_eq!((cpuinfo.logical, cpuinfo.packages, cpuinfo.cores), (Some(4), Some(2), Some(3)));
        assert_eq!((cpuinfo.vendor.as_deref(), cpuinfo.hypervisor), (Some("GenuineIntel"), true));
        assert_eq!(cpuinfo.mhz.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 5]);
    }

    #[test]
    fn arm64_says_numbers_that_have_names() {
        let text = "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\n\
            Revision\t: c03111\nModel\t\t: Raspberry Pi 4 Model B Rev 1.1\n";
        let cpuinfo = parse(text);
        assert_eq!((cpuinfo.logical, cpuinfo.packages, cpuinfo.cores), (Some(1), None, None));
        assert_eq!(names(text), told(["Cortex-A72", "ARM", "Raspberry Pi 4 Model B Rev 1.1"]));
    }

    #[test]
    fn each_kind_of_core_is_named_once() {
        let cpu = |number, part: &str| format!("processor : {number}\nCPU implementer : 0x41\nCPU part : {part}\n\n");
        let text = [cpu(0, "0xd05"), cpu(1, "0xd05"), cpu(2, "0xfff"), cpu(3, "0xd0b")].concat();
        assert_eq!(names(&text), told(["Cortex-A55, part 0xfff, Cortex-A76", "ARM", ""]));
        assert_eq!(parse(&text).kinds[&3], (0x41, 0xd0b));
        // an emulator's
        assert_eq!(names("processor : 0\nCPU implementer : 0x00\nCPU part : 0x051\n"), told(["", "0x00", ""]));
    }

    #[test]
    fn arm32_names_its_board() {
        let text =
            "Processor\t: ARMv7 Processor rev 4 (v7l)\nprocessor\t: 0\nBogoMIPS\t: 38.40\n\nHardware\t: BCM2835\n";
        assert_eq!(names(text), told(["ARMv7 Processor rev 4 (v7l)", "", "BCM2835"]));
        assert_eq!(parse(text).logical, Some(1));
    }

    #[test]
    fn riscv_names_its_microarchitecture_or_its_instructions() {
        let text = "processor\t: 0\nhart\t\t: 1\nisa\t\t: rv64imafdc_zicsr\nmmu\t\t: sv39\n";
        let more = "uarch\t\t: sifive,u74-mc\nmvendorid\t: 0x489\n";
        assert_eq!(names(&format!("{text}{more}")), told(["sifive,u74-mc", "SiFive", ""]));
        assert_eq!(names(text), told(["rv64imafdc", "", ""]));
        assert_eq!(names(&format!("{text}mvendorid\t: 0x0\n")), told(["rv64imafdc", "", ""]));
    }

    #[test]
    fn power_names_its_machine() {
        let text = "processor\t: 0\ncpu\t\t: POWER9, altivec supported\nclock\t\t: 3783.000000MHz\nrevision\t: 2.2 (pvr 004e 1202)\n\n\
            timebase\t: 512000000\nplatform\t: PowerNV\nmodel\t\t: 9006-22P\nmachine\t\t: PowerNV 9006-22P\n";
        assert_eq!(names(text), told(["POWER9, altivec supported", "", "PowerNV 9006-22P"]));
    }

    #[test]
    fn mainframes_number_their_processors_in_the_name() {
        let text = "vendor_id       : IBM/S390\n# processors    : 2\nbogomips per cpu: 3033.00\nmax thread id   : 0\n\
            processor 0: version = 00,  identification = 0FA3C8,  machine = 8561\n\
            processor 4: version = 00,  identification = 0FA3C8,  machine = 8561\n\ncpu number      : 0\ncpu MHz dynamic : 5200\n";
        assert_eq!(names(text), told(["z15 (8561)", "IBM/S390", ""]));
        assert_eq!(parse(text).logical, Some(2));
        assert_eq!(names("processor 0: version = 00,  machine = 1234\n"), told(["1234", "", ""]));
    }

    #[test]
    fn loongarch_mips_and_sparc_have_words_of_their_own() {
        let loongarch = "system type\t\t: generic-loongson-machine\n\nprocessor\t\t: 0\npackage\t\t\t: 0\ncore\t\t\t: 3\n\
            CPU Family\t\t: Loongson-64bit\nModel Name\t\t: Loongson-3A6000\nCPU MHz\t\t\t: 2500.00\n";
        assert_eq!(names(loongarch), told(["Loongson-3A6000", "", "generic-loongson-machine"]));
        assert_eq!((parse(loongarch).packages, parse(loongarch).cores), (Some(1), Some(1)));
        let mips = "system type\t\t: MediaTek MT7621 ver:1 eco:3\nmachine\t\t\t: A router\nprocessor\t\t: 0\n\
            cpu model\t\t: MIPS 1004Kc V2.15\ncore\t\t\t: 0\nVPE\t\t\t: 1\n";
        assert_eq!(names(mips), told(["MIPS 1004Kc V2.15", "", "A router"]));
        let sparc = "cpu\t\t: UltraSparc T2 (Niagara2)\nfpu\t\t: UltraSparc T2 integrated FPU\ntype\t\t: sun4v\nncpus probed\t: 2\n\
            State:\nCPU0:\t\tonline\nCPU5:\t\tonline\n";
        assert_eq!(names(sparc), told(["UltraSparc T2 (Niagara2)", "", ""]));
        assert_eq!(parse(sparc).logical, Some(2));
    }

    #[test]
    fn an_odd_line_costs_only_itself() {
        let text = "processor : 18446744073709551616\nmodel name : A CPU\ncpu MHz : fast\nprocessor : 1\ncore id : -1";
        let (cpuinfo, odd) = Cpuinfo::parse(text);
        assert_eq!(odd.unwrap().position, Position::Line(1));
        assert_eq!((cpuinfo.logical, cpuinfo.model_name.as_deref()), (Some(1), Some("A CPU")));
        assert_eq!(Cpuinfo::parse(""), (Cpuinfo::default(), None));
    }
}
