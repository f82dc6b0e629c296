//! A file's content: read through its compression, known as text in some encoding or as what else it is.
//!
//! Nothing here has a limit of its own but the memory it takes: whoever reads says how much, and a [`Patience`] says how long.

mod magic;

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Chain, Cursor, Read},
};

use flate2::read::MultiGzDecoder;
use schemars::JsonSchema;
use serde::Serialize;

use crate::patience::Patience;

pub use magic::describe;

/// What of a file decides what it is, in bytes.
pub const HEAD: usize = 8 << 10;

/// How text is written as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    #[expect(missing_docs, reason = "its name says it, in the schema as well")]
    #[serde(rename = "utf-8")]
    Utf8,
    /// By its mark.
    #[serde(rename = "utf-16le")]
    Utf16Le,
    /// By its mark.
    #[serde(rename = "utf-16be")]
    Utf16Be,
    /// A guess: it is not UTF-8.
    #[serde(rename = "latin-1 (a guess)")]
    Latin1,
}

/// What a content is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nature {
    /// For reading.
    Text(Encoding),
    /// Not for reading: what it seems to be, in words.
    Binary(String),
}

/// How a file that is read through is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    #[expect(missing_docs, reason = "its name says it, in the schema as well")]
    Gzip,
}

/// Why a content has ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The compressed file ends too early, as one does that is still written.
    Short,
    /// It is not what its beginning says.
    Damaged,
    /// Patience is over.
    Late,
}

/// A content that is read from its beginning: what comes out is decompressed and still in its encoding.
#[derive(Debug)]
pub struct Content {
    source: Source,
    /// The beginning, which is read already.
    head: Cursor<Vec<u8>>,
    nature: Nature,
    cut: Option<Cut>,
    patience: Patience,
}

#[derive(Debug)]
enum Source {
    Plain(File),
    // a decoder is large
    Gzip(Box<MultiGzDecoder<Patient>>),
}

/// The stored bytes of a compressed file. A decoder may read for as long as it likes before it has anything to give.
#[derive(Debug)]
struct Patient {
    bytes: Chain<Cursor<Vec<u8>>, File>,
    patience: Patience,
}

impl Content {
    /// Of a file that stands at its beginning; what compression hides is read `through` or not.
    pub fn open(mut file: File, through: bool, patience: Patience) -> io::Result<Self> {
        let mut head = vec![];
        (&mut file).take(HEAD as u64).read_to_end(&mut head)?;
        if !through || !head.starts_with(&[0x1f, 0x8b, 8]) {
            return Ok(Self {
                nature: Nature::of(&head),
                source: Source::Plain(file),
                head: Cursor::new(head),
                cut: None,
                patience,
            });
        }
        let stored = describe(&head);
        let bytes = Patient { bytes: Cursor::new(head).chain(file), patience: patience.clone() };
        let mut content = Self {
            source: Source::Gzip(Box::new(MultiGzDecoder::new(bytes))),
            head: Cursor::default(),
            nature: Nature::Text(Encoding::Utf8),
            cut: None,
            patience,
        };
        let mut head = vec![];
        (&mut content).take(HEAD as u64).read_to_end(&mut head)?;
        content.nature = match (content.cut, stored) {
            // only the beginning of it looks like gzip
            (Some(Cut::Damaged), Some(stored)) if head.is_empty() => Nature::Binary(stored),
            _ => Nature::of(&head),
        };
        content.head = Cursor::new(head);
        Ok(content)
    }

    /// What it is.
    pub fn nature(&self) -> &Nature {
        &self.nature
    }

    /// What it is read through.
    pub fn compression(&self) -> Option<Compression> {
        match self.source {
            Source::Plain(_) => None,
            Source::Gzip(_) => Some(Compression::Gzip),
        }
    }

    /// Why it ended, once it has; `None` if that was its end.
    pub fn cut(&self) -> Option<Cut> {
        self.cut
    }

    /// Whether it begins with nothing but zero bytes.
    pub fn is_hole(&self) -> bool {
        !self.head.get_ref().is_empty() && self.head.get_ref().iter().all(|byte| *byte == 0)
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let had = self.head.read(buffer)?;
        if had > 0 || self.cut.is_some() || buffer.is_empty() {
            return Ok(had);
        }
        if self.patience.is_over() {
            self.cut = Some(Cut::Late);
            return Ok(0);
        }
        let read = match &mut self.source {
            Source::Plain(file) => file.read(buffer),
            Source::Gzip(decoder) => decoder.read(buffer),
        };
        match read {
            // the disk's errors have a number, the decoder's have none
            Err(error) if error.raw_os_error().is_none() && error.kind() != io::ErrorKind::Interrupted => {
                self.cut = Some(match error.kind() {
                    io::ErrorKind::TimedOut => Cut::Late,
                    io::ErrorKind::UnexpectedEof => Cut::Short,
                    _ => Cut::Damaged,
                });
                Ok(0)
            }
            read => read,
        }
    }
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.patience.is_over() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.bytes.read(buffer)
    }
}

impl Cut {
    /// As a clause that goes on after what was read.
    pub fn words(self) -> &'static str {
        match self {
            Self::Short => "the compressed file is cut off there",
            Self::Damaged => "the compressed file is damaged there",
            Self::Late => "time ran out there",
        }
    }
}

impl Nature {
    /// Of the content that begins with `head`, which is all of it or [`HEAD`] bytes.
    pub fn of(head: &[u8]) -> Self {
        if let Some(encoding) = Encoding::of_mark(head) {
            return Self::Text(encoding);
        }
        if let Some(words) = describe(head) {
            return Self::Binary(words);
        }
        if head.contains(&0) {
            let zeros = head.iter().all(|byte| *byte == 0);
            return Self::Binary(if zeros { "zero bytes" } else { "data of no kind that is known here" }.into());
        }
        Self::Text(Encoding::guess(head))
    }
}

impl Encoding {
    /// By the mark at the beginning, if it has one that says so.
    fn of_mark(head: &[u8]) -> Option<Self> {
        match head {
            // UTF-32
            [0xff, 0xfe, 0, 0, ..] => None,
            [0xff, 0xfe, ..] => Some(Self::Utf16Le),
            [0xfe, 0xff, ..] => Some(Self::Utf16Be),
            _ => None,
        }
    }

    /// What has more of UTF-8 in it than of anything else is UTF-8 with a few wrong bytes.
    fn guess(head: &[u8]) -> Self {
        let (mut letters, mut wrong) = (0_usize, 0_usize);
        let mut chunks = head.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            letters += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
            // the last letter may be cut by where the head ends
            let is_last = chunks.peek().is_none() && head.len() == HEAD;
            wrong += usize::from(!chunk.invalid().is_empty() && !is_last);
        }
        if wrong > letters { Self::Latin1 } else { Self::Utf8 }
    }

    /// The characters of `bytes`, which begin and end where a character does, or a line. What is no character is U+FFFD.
    pub fn text(self, bytes: &[u8]) -> Cow<'_, str> {
        match self {
            Self::Utf8 => String::from_utf8_lossy(bytes),
            Self::Utf16Le | Self::Utf16Be => {
                let unit = |pair: &[u8]| match (self, pair) {
                    (Self::Utf16Le, [low, high]) => u16::from_le_bytes([*low, *high]),
                    (_, [high, low]) => u16::from_be_bytes([*high, *low]),
                    _ => 0xfffd,
                };
                char::decode_utf16(bytes.chunks(2).map(unit))
                    .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
                    .collect()
            }
            Self::Latin1 => match std::str::from_utf8(bytes) {
                Ok(text) if text.is_ascii() => text.into(),
                _ => bytes.iter().map(|byte| char::from(*byte)).collect(),
            },
        }
    }
}

/// Text in UTF-16 as it is read in UTF-8, so that lines can be told apart.
#[derive(Debug)]
pub struct Utf16<R> {
    bytes: R,
    encoding: Encoding,
    /// Read and not yet a whole character.
    rest: Vec<u8>,
    out: Cursor<Vec<u8>>,
}

impl<R: Read> Utf16<R> {
    /// Of these bytes, which begin where a character does.
    pub fn new(bytes: R, encoding: Encoding) -> Self {
        Self { bytes, encoding, rest: vec![], out: Cursor::default() }
    }

    /// What is read.
    pub fn bytes(&self) -> &R {
        &self.bytes
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.out.position() == self.out.get_ref().len() as u64 {
            let had = self.rest.len();
            self.rest.resize(had + HEAD, 0);
            let read = self.bytes.read(&mut self.rest[had..]);
            self.rest.truncate(had + *read.as_ref().unwrap_or(&0));
            if read? == 0 && self.rest.is_empty() {
                return Ok(0);
            }
            // half a character waits for its other half, if there is one to come
            let mut whole = self.rest.len();
            if whole > had {
                whole -= whole % 2;
                let high =
                    if self.encoding == Encoding::Utf16Le { whole.wrapping_sub(1) } else { whole.wrapping_sub(2) };
                if self.rest.get(high).is_some_and(|byte| (0xd8..0xdc).contains(byte)) {
                    whole -= 2;
                }
            }
            let text = self.encoding.text(&self.rest[..whole]).into_owned();
            self.rest.drain(..whole);
            self.out = Cursor::new(text.into_bytes());
        }
        self.out.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, time::Duration};

    use flate2::{Compression as Level, write::GzEncoder};
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// A file that has no name any more.
    #[expect(clippy::disallowed_methods, reason = "makes the file to be read")]
    fn file(bytes: &[u8]) -> File {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("content-{}-{count}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        let file = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file
    }

    fn patience() -> Patience {
        Patience::of(Duration::from_secs(60), &CancellationToken::new())
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(vec![], Level::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> (Vec<u8>, Content) {
        let mut content = Content::open(file(bytes), true, patience()).unwrap();
        let mut all = vec![];
        content.read_to_end(&mut all).unwrap();
        (all, content)
    }

    fn nature(bytes: &[u8]) -> Nature {
        Nature::of(bytes)
    }

    #[test]
    fn gzip_is_read_through_all_its_members() {
        let long = b"line of a log\n".repeat(10_000);
        let (all, content) = read(&[gzip(&long), gzip(b"and more\n")].concat());
        assert_eq!(all, [&long[..], b"and more\n"].concat());
        assert_eq!((content.compression(), content.cut()), (Some(Compression::Gzip), None));
        assert_eq!(content.nature(), &Nature::Text(Encoding::Utf8));
        assert_eq!(read(&gzip(b"")).0, b"");
    }

    #[test]
    fn gzip_is_left_alone_if_that_is_wanted() {
        let stored = gzip(b"text\n");
        let mut content = Content::open(file(&stored), false, patience()).unwrap();
        let mut all = vec![];
        content.read_to_end(&mut all).unwrap();
        assert_eq!(all, stored);
        assert_eq!(content.nature(), &Nature::Binary("gzip-compressed data".into()));
    }

    #[test]
    fn what_is_cut_off_or_damaged_gives_what_came_before_and_says_so() {
        // what cannot be made smaller, so that half of it is half of the file
        let mut dice = 1_u32;
        let text: Vec<u8> = std::iter::repeat_with(|| {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b'a' + (dice >> 24) as u8 % 26
        })
        .take(200_000)
        .collect();
        let stored = gzip(&text);
        let (all, content) = read(&stored[..stored.len() / 2]);
        assert!(text.starts_with(&all) && all.len() > 50_000, "{}", all.len());
        assert_eq!(content.cut(), Some(Cut::Short));
        let mut wrong = stored.clone();
        let middle = wrong.len() / 2;
        wrong[middle..middle + 64].fill(0xff);
        let (all, content) = read(&wrong);
        assert!(all.len() > 50_000 && text[..50_000] == all[..50_000]);
        assert!(matches!(content.cut(), Some(Cut::Damaged)), "{:?}", content.cut());
        let (all, content) = read(&[&stored[..], b"no gzip"].concat());
        assert_eq!((all.len(), content.cut().is_some()), (text.len(), true));
        // its beginning alone, and what only begins like it
        assert_eq!(read(&stored[..10]).1.cut(), Some(Cut::Short));
        let (all, content) = read(b"\x1f\x8b\x08\x00aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        assert_eq!((all.len(), content.nature()), (0, &Nature::Binary("gzip-compressed data".into())));
    }

    #[test]
    fn patience_ends_what_has_nothing_to_give() {
        let stop = CancellationToken::new();
        let stored = gzip(b"").repeat(100_000);
        let mut content = Content::open(file(&stored), true, Patience::of(Duration::ZERO, &stop)).unwrap();
        assert_eq!((content.read(&mut [0; 10]).unwrap(), content.cut()), (0, Some(Cut::Late)));
        let mut content =
            Content::open(file(&b"a".repeat(20_000)), true, Patience::of(Duration::from_secs(60), &stop)).unwrap();
        stop.cancel();
        let mut all = vec![];
        assert_eq!((content.read_to_end(&mut all).unwrap(), content.cut()), (HEAD, Some(Cut::Late)));
    }

    #[test]
    fn text_is_told_from_data() {
        for (bytes, encoding) in [
            (&b""[..], Encoding::Utf8),
            (b"plain\n", Encoding::Utf8),
            ("größe 中文\n".as_bytes(), Encoding::Utf8),
            ("\u{feff}marked\n".as_bytes(), Encoding::Utf8),
            ("größe öäü \u{fffd}".as_bytes(), Encoding::Utf8),
            (b"\xff\xfea\0\n\0", Encoding::Utf16Le),
            (b"\xfe\xff\0a\0\n", Encoding::Utf16Be),
            (b"gr\xf6\xdfe\n", Encoding::Latin1),
        ] {
            assert_eq!(nature(bytes), Nature::Text(encoding), "{bytes:?}");
        }
        assert_eq!(nature(b"a\0b"), Nature::Binary("data of no kind that is known here".into()));
        assert_eq!(nature(&[0; 100]), Nature::Binary("zero bytes".into()));
        assert_eq!(nature(b"\xff\xfe\0\0a\0\0\0"), Nature::Binary("UTF-32 text".into()));
        // one wrong byte, and a letter cut by the end of the head
        let mut head = "ö".repeat(HEAD / 2).into_bytes();
        head[100] = 0xff;
        assert_eq!(nature(&head), Nature::Text(Encoding::Utf8));
        let cut = &format!("{}ö", "a".repeat(HEAD - 1)).into_bytes()[..HEAD];
        assert_eq!(nature(cut), Nature::Text(Encoding::Utf8));
    }

    #[test]
    fn utf_16_becomes_utf_8_wherever_its_pieces_are_cut() {
        struct Slowly<'a>(&'a [u8], usize);
        impl Read for Slowly<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let piece = self.1.min(buffer.len());
                self.0.read(&mut buffer[..piece])
            }
        }
        let text = "a\nöß 中文 🙂🙂\n".repeat(50);
        for encoding in [Encoding::Utf16Le, Encoding::Utf16Be] {
            let bytes = |unit: u16| if encoding == Encoding::Utf16Le { unit.to_le_bytes() } else { unit.to_be_bytes() };
            let bytes: Vec<u8> = text.encode_utf16().flat_map(bytes).collect();
            for piece in [1, 2, 3, 5, 1000] {
                let mut out = String::new();
                Utf16::new(Slowly(&bytes, piece), encoding).read_to_string(&mut out).unwrap();
                assert_eq!(out, text, "{piece}");
                let mut out = String::new();
                Utf16::new(Slowly(&bytes[..bytes.len() - 3], piece), encoding).read_to_string(&mut out).unwrap();
                assert!(
                    out.ends_with('\u{fffd}') && text.starts_with(out.trim_end_matches('\u{fffd}')),
                    "{piece}: {out}"
                );
            }
        }
        assert_eq!(Encoding::Latin1.text(b"gr\xf6\xdfe"), "größe");
    }
}
