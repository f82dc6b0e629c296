//! How much time was lost waiting for CPU, memory, disks and interrupts.

use super::Seen;
use crate::exposition::Exposition;
use kernel::proc::pressure::{Pressure, Stall};

/// The seconds lost since the start. Without `some` for the CPU the kernel does not count them, or it is switched off.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let seconds = |stall: Stall| stall.total_us as f64 / 1e6;
    let some = |pressure: Option<Pressure>| pressure.map(|pressure| seconds(pressure.some));
    let full = |pressure: Option<Pressure>| pressure?.full.map(seconds);
    let pressures = &seen.sample.pressure;
    let help = "Seconds in which threads waited for a CPU.";
    page.counter("node_pressure_cpu_waiting_seconds_total", help, some(pressures.cpu));
    let help = "Seconds in which threads waited for I/O.";
    page.counter("node_pressure_io_waiting_seconds_total", help, some(pressures.io));
    let help = "Seconds in which all threads waited for I/O.";
    page.counter("node_pressure_io_stalled_seconds_total", help, full(pressures.io));
    let help = "Seconds in which threads waited for memory.";
    page.counter("node_pressure_memory_waiting_seconds_total", help, some(pressures.memory));
    let help = "Seconds in which all threads waited for memory.";
    page.counter("node_pressure_memory_stalled_seconds_total", help, full(pressures.memory));
    let help = "Seconds in which all threads of a CPU waited for interrupts to be served. Since Linux 6.1.";
    page.counter("node_pressure_irq_stalled_seconds_total", help, interrupts(seen).map(seconds));
}

/// `None` also where the others are not counted: the kernel then refuses this file as well.
fn interrupts(seen: &Seen<'_>) -> Option<Stall> {
    const FILE: &str = "proc/pressure/irq";
    seen.sample.pressure.cpu?;
    seen.reader.parsed(FILE, Stall::of_interrupts(&seen.reader.text(FILE)?))
}
