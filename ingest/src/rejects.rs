//! Rows that could not be read: the first ones in the report, all of them in an object of the dataset's bucket.

use object_store::{buffered::BufWriter, path::Path};
use skein_storage::Bucket;
use tokio::io::AsyncWriteExt;
use ulid::Ulid;

use crate::{Error, Reject, Result, format::Rejected};

/// How many rejects a report carries.
const KEPT: usize = 1000;

/// Collects rejected rows. The object appears when [`Rejects::finish`] says so, or not at all.
pub(crate) struct Rejects {
    bucket: Bucket,
    key: String,
    writer: Option<BufWriter>,
    kept: Vec<Reject>,
    count: u64,
}

impl Rejects {
    pub(crate) fn new(bucket: &Bucket) -> Self {
        let key = format!("_skein/rejects/{}.csv", Ulid::new());
        Self { bucket: bucket.clone(), key, writer: None, kept: Vec::new(), count: 0 }
    }

    /// Takes rows in the order of the file.
    ///
    /// # Errors
    /// When the bucket fails.
    pub(crate) async fn add(&mut self, rows: Vec<Rejected>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let first = self.writer.is_none();
        let text = to_csv(&rows, first)?;
        let writer =
            self.writer.get_or_insert_with(|| BufWriter::new(self.bucket.store(), Path::from(self.key.as_str())));
        writer.write_all(&text).await.map_err(|source| failed(&self.bucket, &self.key, source))?;
        self.count += rows.len() as u64;
        let room = KEPT - self.kept.len();
        self.kept.extend(rows.into_iter().take(room).map(|row| row.reject));
        Ok(())
    }

    /// Completes the object: the count, the first rejects, and the key if there were any.
    ///
    /// # Errors
    /// When the bucket fails.
    pub(crate) async fn finish(mut self) -> Result<(u64, Vec<Reject>, Option<String>)> {
        let key = match self.writer.take() {
            None => None,
            Some(mut writer) => {
                writer.shutdown().await.map_err(|source| failed(&self.bucket, &self.key, source))?;
                Some(std::mem::take(&mut self.key))
            }
        };
        Ok((self.count, std::mem::take(&mut self.kept), key))
    }
}

impl Drop for Rejects {
    /// An upload that was begun is given up, so that no store keeps parts of it.
    fn drop(&mut self) {
        if let (Some(mut writer), Ok(runtime)) = (self.writer.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                let _ = writer.abort().await;
            });
        }
    }
}

/// A writer speaks of I/O errors; what failed is the bucket.
fn failed(bucket: &Bucket, key: &str, source: std::io::Error) -> Error {
    match source.downcast::<object_store::Error>() {
        Ok(source) => Error::Storage(skein_storage::Error::Store {
            bucket: bucket.name().to_owned(),
            operation: "put",
            key: key.to_owned(),
            source: Box::new(source),
        }),
        Err(source) => Error::Io { context: "writing the rejected rows", source },
    }
}

fn to_csv(rows: &[Rejected], header: bool) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: csv::Error| Error::Internal(format!("rejected rows cannot be written as CSV: {error}"));
    if header {
        writer.write_record(["line", "column", "value", "reason", "record"]).map_err(failed)?;
    }
    for Rejected { reject, record } in rows {
        let line = reject.line.to_string();
        let column = reject.column.as_deref().unwrap_or_default();
        let value = reject.value.as_deref().unwrap_or_default();
        let fields = [line.as_bytes(), column.as_bytes(), value.as_bytes(), reject.reason.as_bytes(), record];
        writer.write_record(fields).map_err(failed)?;
    }
    writer.into_inner().map_err(|error| Error::Internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(line: u64) -> Rejected {
        let reject = Reject { line, column: Some("a".into()), value: Some("x,y".into()), reason: "no number".into() };
        Rejected { reject, record: b"\"x,y\",2".to_vec() }
    }

    #[tokio::test]
    async fn all_rows_are_in_the_object_and_some_in_the_report() {
        let bucket = Bucket::in_memory("b");
        let mut rejects = Rejects::new(&bucket);
        rejects.add((0..700).map(row).collect()).await.unwrap();
        rejects.add((700..1500).map(row).collect()).await.unwrap();
        let (count, kept, key) = rejects.finish().await.unwrap();
        assert_eq!((count, kept.len()), (1500, 1000));
        let bytes = bucket.get(&key.unwrap()).await.unwrap();
        let mut reader = csv::Reader::from_reader(bytes.as_ref());
        assert_eq!(reader.records().count(), 1500);
    }

    #[tokio::test]
    async fn without_rejects_there_is_no_object() {
        let bucket = Bucket::in_memory("b");
        let mut rejects = Rejects::new(&bucket);
        rejects.add(Vec::new()).await.unwrap();
        assert_eq!(rejects.finish().await.unwrap(), (0, Vec::new(), None));
        let mut given_up = Rejects::new(&bucket);
        given_up.add(vec![row(1)]).await.unwrap();
        drop(given_up);
        assert!(bucket.list("").await.unwrap().is_empty());
    }
}
