//! The numbers of a run as TensorBoard event files.
//!
//! A file is a series of TFRecords (length, checksum, bytes, checksum), each of them one `Event`
//! message of tensorflow/core/util/event.proto. Only the handful of fields used here is encoded.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::events::Event;

/// Writes one event file; a resumed run adds another.
#[derive(Debug)]
pub struct TensorBoardLog {
    file: File,
}

impl TensorBoardLog {
    /// Starts a file in `dir` for a run after outer step `step`; TensorBoard then ignores the later
    /// steps in older files.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn create(dir: &Path, step: u64) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let now = now_s();
        let name = format!("events.out.tfevents.{:.0}.{}.metabert", now * 1e6, std::process::id());
        let mut log = Self { file: File::create(dir.join(name))? };
        log.write_record(&event_message(now, 0, &string_field(3, "brain.Event:2")))?;
        // session_log { status: START }
        let start = message_field(7, &varint_field(1, 1));
        log.write_record(&event_message(now, step + 1, &start))?;
        Ok(log)
    }

    /// Appends the numbers of an event; events without numbers are left out.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn append(&mut self, event: &Event) -> io::Result<()> {
        let values = scalars(event);
        if values.is_empty() {
            return Ok(());
        }
        let mut summary = Vec::new();
        for (tag, value) in values {
            let mut scalar = string_field(1, &tag);
            // simple_value: field 2, 32 bits.
            scalar.push(2 << 3 | 5);
            scalar.extend((value as f32).to_le_bytes());
            summary.extend(message_field(1, &scalar));
        }
        self.write_record(&event_message(now_s(), event.step(), &message_field(5, &summary)))
    }

    fn write_record(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = (bytes.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(bytes.len() + 16);
        record.extend(length);
        record.extend(masked_crc(&length).to_le_bytes());
        record.extend(bytes);
        record.extend(masked_crc(bytes).to_le_bytes());
        self.file.write_all(&record)
    }
}

/// Tags and values of every number of an event that has a curve.
fn scalars(event: &Event) -> Vec<(String, f64)> {
    let group = match event {
        Event::OuterStep { .. } => "train",
        Event::Evaluated { .. } => "meta_dev",
        _ => return Vec::new(),
    };
    let fields = serde_json::to_value(event).expect("an event serialises");
    let fields = fields.as_object().expect("an event is an object");
    let numbers = fields.iter().filter(|(name, _)| !["step", "elapsed_s"].contains(&name.as_str()));
    numbers.filter_map(|(name, value)| Some((format!("{group}/{name}"), value.as_f64()?))).collect()
}

fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

/// The CRC of a TFRecord: CRC-32C, rotated and shifted, so that the CRC of data that holds its own
/// CRC is not trivial.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn event_message(wall_time_s: f64, step: u64, content: &[u8]) -> Vec<u8> {
    // wall_time: field 1, 64 bits.
    let mut message = vec![1 << 3 | 1];
    message.extend(wall_time_s.to_le_bytes());
    message.extend(varint_field(2, step));
    message.extend(content);
    message
}

fn varint_field(field: u8, value: u64) -> Vec<u8> {
    let mut bytes = vec![field << 3];
    push_varint(&mut bytes, value);
    bytes
}

fn string_field(field: u8, text: &str) -> Vec<u8> {
    message_field(field, text.as_bytes())
}

fn message_field(field: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![field << 3 | 2];
    push_varint(&mut bytes, content.len() as u64);
    bytes.extend(content);
    bytes
}

fn push_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made by tensorboard 2.21's own writer, wall_time set to 1.5:
    // from tensorboard.compat.proto.event_pb2 import Event
    // from tensorboard.compat.proto.summary_pb2 import Summary
    // value = Summary.Value(tag="a/b", simple_value=0.25)
    // Event(wall_time=1.5, step=300, summary=Summary(value=[value])).SerializeToString().hex()
    #[test]
    fn an_event_message_has_the_bytes_of_protobuf() {
        let mut scalar = string_field(1, "a/b");
        scalar.push(2 << 3 | 5);
        scalar.extend(0.25f32.to_le_bytes());
        let message = event_message(1.5, 300, &message_field(5, &message_field(1, &scalar)));
        let hex: String = message.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "09000000000000f83f10ac022a0c0a0a0a03612f62150000803e");
    }

    // hex(tensorboard.summary.writer.record_writer.masked_crc32c(struct.pack("<Q", 24)))
    #[test]
    fn the_checksum_is_that_of_tfrecords() {
        assert_eq!(masked_crc(&24u64.to_le_bytes()), 0x224b7fa3);
    }

    #[test]
    fn records_are_framed_by_length_and_checksums() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = TensorBoardLog::create(dir.path(), 7).unwrap();
        log.append(&Event::Evaluated {
            step: 8,
            accuracy: 0.5,
            macro_f1: 0.25,
            macro_f1_low: None,
            macro_f1_high: None,
            zero_step_macro_f1: 0.1,
            is_best: true,
            elapsed_s: 1.0,
        })
        .unwrap();
        let file = fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
        let bytes = fs::read(file).unwrap();
        let mut rest = bytes.as_slice();
        let mut num_records = 0;
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            let crc = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
            assert_eq!(crc(8), masked_crc(&rest[..8]));
            assert_eq!(crc(12 + length), masked_crc(&rest[12..12 + length]));
            rest = &rest[16 + length..];
            num_records += 1;
        }
        assert_eq!(num_records, 3);
        let needle = b"meta_dev/macro_f1";
        assert!(bytes.windows(needle.len()).any(|window| window == needle));
    }
}
