use engine::log::{Decoder, LONGEST, Line, Source};

/// As much as is made of the longest input, in bytes, or one piece more.
const MOST: usize = 1 << 20;

/// The longest time before an entry, with its blank.
const TIME: usize = 40;

/// However a log is cut, its lines are the same. None is longer than is kept, and no byte is in two of them.
pub fn run(bytes: &[u8]) {
    let Some((cuts, bytes)) = bytes.split_first_chunk::<4>() else { return };
    let log = written(bytes);
    let whole = lines([&log[..]]);
    let mut rest = &log[..];
    let pieces = cuts.iter().cycle().map_while(|cut| {
        let cut = (1 + usize::from(*cut) * usize::from(*cut)).min(rest.len());
        let (piece, after) = rest.split_at(cut);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    });
    assert!(lines(pieces) == whole);
    let (lines, entries) = whole;
    assert!(lines.iter().all(|(.., text, _)| text.len() <= LONGEST + TIME));
    let told: u64 = lines.iter().map(|(.., text, dropped)| text.len() as u64 + dropped).sum();
    assert!(told <= log.len() as u64 && entries <= log.len() as u64);
}

/// Bytes as they are, but for some that stand for what nobody comes upon by chance.
fn written(bytes: &[u8]) -> Vec<u8> {
    let at = b"2026-11-25T23:00:00.000000001Z ";
    let entry = [b'x'; 16 << 10];
    let mut log = vec![];
    for byte in bytes {
        match byte {
            _ if log.len() >= MOST => break,
            0xf8 => log.extend_from_slice(at),
            0xf9 => log.extend_from_slice(b"2026-11-25T23:00:01Z "),
            0xfa => log.extend_from_slice(&entry),
            // the head of a frame for as much as one entry has at most
            0xfb => log.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0x40, 31]),
            0xfc => log.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0, 40]),
            byte => log.push(*byte),
        }
    }
    log
}

type Told = (Source, String, Vec<u8>, u64);

fn lines<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Told>, u64) {
    let mut told = vec![];
    let mut each = |line: Line<'_>| told.push((line.source, line.time.to_owned(), line.text.to_vec(), line.dropped));
    let mut decoder = Decoder::default();
    for piece in pieces {
        decoder.feed(piece, &mut each);
    }
    decoder.finish(&mut each);
    (told, decoder.entries())
}
