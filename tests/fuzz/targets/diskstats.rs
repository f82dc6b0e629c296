use kernel::proc::diskstats;

pub fn run(text: &str) {
    let (disks, odd) = diskstats::parse(text);
    assert!(disks.iter().all(|disk| text.contains(&disk.name)));
    let lines = text.lines().filter(|line| !line.trim_ascii().is_empty()).count();
    assert!(if odd.is_some() { disks.len() < lines } else { disks.len() == lines });
}
