//! Reads records of a file by their place, with bounded memory.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::problem::{Outage, Problem};

/// A longer record is a quote that was left open.
const MAX_RECORD_BYTES: usize = 1 << 20;

/// The records of a file, one at a time.
pub(super) struct Records {
    reader: csv::Reader<Limited>,
    left: Rc<Cell<usize>>,
    record: csv::ByteRecord,
    path: PathBuf,
    start: u64,
}

impl Records {
    pub(super) fn new(file: File, path: &Path) -> Self {
        let left = Rc::new(Cell::new(MAX_RECORD_BYTES));
        let limited = Limited {
            file,
            left: left.clone(),
        };
        // A row with too many or too few fields is for `check` to refuse.
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(64 << 10)
            .from_reader(limited);
        Records {
            reader,
            left,
            record: csv::ByteRecord::new(),
            path: path.to_owned(),
            start: 0,
        }
    }

    /// Begins at this byte, which must be between two records.
    pub(super) fn from(mut self, byte: u64) -> Result<Self, Problem> {
        let sought = self.reader.get_mut().file.seek(SeekFrom::Start(byte));
        sought.map_err(|error| Outage::new("read", &self.path, &error))?;
        self.start = byte;
        Ok(self)
    }

    pub(super) fn next(&mut self) -> Result<Option<&csv::ByteRecord>, Problem> {
        self.left.set(MAX_RECORD_BYTES);
        match self.reader.read_byte_record(&mut self.record) {
            Ok(true) => Ok(Some(&self.record)),
            Ok(false) => Ok(None),
            Err(error) => Err(self.problem(&error)),
        }
    }

    fn problem(&self, error: &csv::Error) -> Problem {
        match error.kind() {
            csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                let what = format!(
                    "has a record of more than {MAX_RECORD_BYTES} bytes {} bytes from its beginning; is a quote left open?",
                    self.start + self.record.position().map_or(0, csv::Position::byte)
                );
                Problem::unusable(&self.path, what)
            }
            csv::ErrorKind::Io(error) => Outage::new("read", &self.path, error).into(),
            _ => Problem::unusable(&self.path, format!("is not a CSV file: {error}")),
        }
    }

    /// The byte behind the last record.
    pub(super) fn byte(&self) -> u64 {
        self.start + self.reader.position().byte()
    }

    /// How many line breaks were passed.
    pub(super) fn line_breaks(&self) -> u64 {
        self.reader.position().line() - 1
    }

    /// The file's text from `byte` on.
    pub(super) fn text(self, byte: u64, length: u64) -> Result<String, Problem> {
        let mut file = self.reader.into_inner().file;
        let mut bytes = Vec::new();
        let read = file
            .seek(SeekFrom::Start(byte))
            .and_then(|_| file.take(length).read_to_end(&mut bytes));
        read.map_err(|error| Outage::new("read", &self.path, &error))?;
        // What is not UTF-8 becomes U+FFFD, which `check` refuses.
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }
}

/// Fails when one record takes too much.
struct Limited {
    file: File,
    left: Rc<Cell<usize>>,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let length = buffer.len().min(left);
        let read = self.file.read(&mut buffer[..length])?;
        self.left.set(left - read);
        Ok(read)
    }
}

/// One row of a text.
pub(super) struct Row {
    /// The line on which it begins.
    pub(super) line: u64,
    pub(super) fields: csv::StringRecord,
    /// It runs over several lines up to the end of the text, because its last quote is not closed.
    pub(super) is_open: bool,
}

/// The rows of a text that begins on `line`.
pub(super) fn parse(text: &str, line: u64) -> impl Iterator<Item = Row> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let (mut line, mut counted) = (line, 0);
    std::iter::from_fn(move || {
        let before = reader.position().byte() as usize;
        let mut fields = csv::StringRecord::new();
        // Reading from memory does not fail, and the text is UTF-8.
        if !reader.read_record(&mut fields).unwrap_or(false) {
            return None;
        }
        // The reader places a row behind the `\r` or the blank lines before it, a person behind the `\n`.
        let skipped = text[before..]
            .bytes()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count();
        let start = before + skipped;
        let count = |text: &str, wanted| text.bytes().filter(|byte| *byte == wanted).count();
        line += count(&text[counted..start], b'\n') as u64;
        counted = start;
        let raw = &text[start..reader.position().byte() as usize];
        let is_open = count(raw.trim_end(), b'\n') > 0 && count(raw, b'"') % 2 == 1;
        Some(Row {
            line,
            fields,
            is_open,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_know_their_lines() {
        let check = |text: &str, expected: &[(u64, &str)]| {
            let found: Vec<_> = parse(text, 7)
                .map(|row| (row.line, row.fields.iter().collect::<Vec<_>>().join("|")))
                .collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|(line, row)| (*line, (*row).to_owned()))
                .collect();
            assert_eq!(found, expected, "{text:?}");
        };
        check("a,b\nc,d\n", &[(7, "a|b"), (8, "c|d")]);
        check("a,b\nc,d", &[(7, "a|b"), (8, "c|d")]);
        check("a,b\r\nc,d\r\ne,f", &[(7, "a|b"), (8, "c|d"), (9, "e|f")]);
        check("\na,b\n\n\nc,d\n", &[(8, "a|b"), (11, "c|d")]);
        check("\"a\n1\",b\nc,\"d\"\"\"\n", &[(7, "a\n1|b"), (9, "c|d\"")]);
        check("", &[]);
        check("\n\n", &[]);
        assert!(
            parse("a,\"b\nc\"\nd,\"e\nf\n", 1)
                .map(|row| row.is_open)
                .eq([false, true])
        );
        check("5\" pipe,1\nx,2", &[(7, "5\" pipe|1"), (8, "x|2")]);
    }
}
