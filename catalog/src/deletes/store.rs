//! Deletion vectors on the bucket.

use skein_model::FileId;
use skein_storage::PutNew;

use super::{DeletesRecord, DeletionVector, FileDeletes, RowSet, format::Unreadable};
use crate::{DataFile, Dataset, Error, Result, log, persisted::corrupt, writer::hex};

use sha2::{Digest, Sha256};

impl Dataset {
    /// The key of a deletion vector in [`Dataset::bucket`].
    pub fn deletes_key(&self, deletes: FileId) -> String {
        log::deletes_key(self.id(), deletes)
    }

    /// The deleted rows of a file, as the file's record says; none when it has no deletion vector.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the vector is gone, damaged or not the one that was recorded.
    pub async fn read_deletes(&self, file: &DataFile) -> Result<RowSet> {
        let Some(record) = &file.deletes else { return Ok(RowSet::new()) };
        let key = self.deletes_key(record.id);
        let damaged = |what: &str| {
            let reason = format!("{what}; it says which rows of '{}' are deleted: {RESTORE}", self.data_key(file.id));
            corrupt(self.bucket(), &key, &reason)
        };
        let bytes = self.bucket().get_opt(&key).await?.ok_or_else(|| damaged("it is gone"))?;
        if hex(&Sha256::digest(&bytes)) != record.sha256 {
            return Err(damaged("its bytes are not those that were written"));
        }
        let vector = DeletionVector::decode(file.id, &bytes).map_err(|unreadable| match unreadable {
            Unreadable::Newer(format) => Error::Unimplemented(format!(
                "'{key}' in bucket '{}' was written by a newer Skein (format {format}); use that version or a newer one",
                self.bucket().name()
            )),
            Unreadable::Damaged(what) => damaged(what),
        })?;
        if vector.rows.len() != record.rows || vector.file_rows != file.rows {
            return Err(damaged("its counts differ from those in the log"));
        }
        Ok(vector.rows)
    }

    /// Writes a deletion vector with the rows of `former`, which must be those that [`Dataset::read_deletes`] gave for
    /// the file, and `more`. Nothing is deleted before the answer is committed in [`crate::Change::deletes`].
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when `more` adds nothing, or rows that the file does not have.
    pub async fn write_deletes(&self, file: &DataFile, former: &RowSet, more: &RowSet) -> Result<FileDeletes> {
        let mut rows = former.clone();
        rows.add(more);
        if rows.len() == former.len() || rows.last().is_some_and(|last| u64::from(last) >= file.rows) {
            return Err(Error::InvalidInput(format!("file {} has no such rows to delete", file.id)));
        }
        let count = rows.len();
        let bytes = DeletionVector { file: file.id, file_rows: file.rows, rows }.encode();
        let id = FileId::generate();
        let deletes =
            DeletesRecord { id, rows: count, bytes: bytes.len() as u64, sha256: hex(&Sha256::digest(&bytes)) };
        let key = self.deletes_key(id);
        match self.bucket().put_new(&key, bytes).await? {
            PutNew::Created => Ok(FileDeletes { file: file.id, replaces: file.deletes_id(), deletes }),
            PutNew::Exists => Err(Error::Internal(format!("'{key}' exists already"))),
        }
    }

    /// Removes deletion vectors that were written and then could not be committed. Best effort: garbage collection finds
    /// what is left. Never call it after [`Error::CommitUnknown`].
    pub async fn remove_deletes(&self, deletes: &[FileDeletes]) {
        for deletes in deletes {
            let key = self.deletes_key(deletes.deletes.id);
            if let Err(error) = self.bucket().delete(&key).await {
                tracing::warn!(bucket = self.bucket().name(), %key, %error, "could not remove an uncommitted deletion vector");
            }
        }
    }
}

const RESTORE: &str = "restore it from a backup of the bucket";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use skein_model::{ErrorKind, Kind, TableName};
    use skein_storage::{Bucket, Buckets};

    use super::*;
    use crate::{Actor, Catalog, CatalogOptions, NewDataset};

    async fn table() -> Dataset {
        let buckets = Buckets::new(vec![Bucket::in_memory("main")]).unwrap();
        let catalog = Catalog::open(buckets, CatalogOptions::default()).await.unwrap();
        let schema =
            arrow_schema::Schema::new(vec![arrow_schema::Field::new("a", arrow_schema::DataType::Int64, true)]);
        let name = TableName::in_default_schema("t").unwrap();
        let new = NewDataset { name, schema: schema.into(), bucket: None, properties: BTreeMap::new() };
        catalog.create_dataset(new, &Actor::new("ada")).await.unwrap()
    }

    #[tokio::test]
    async fn what_is_written_is_read_and_contains_the_former() {
        let table = table().await;
        let mut file = crate::stats::tests::file_with_everything();
        assert!(table.read_deletes(&file).await.unwrap().is_empty());
        let first = table.write_deletes(&file, &RowSet::new(), &[1, 2].into_iter().collect()).await.unwrap();
        assert_eq!((first.replaces, first.deletes.rows), (None, 2));
        file.deletes = Some(first.deletes.clone());
        let former = table.read_deletes(&file).await.unwrap();
        let second = table.write_deletes(&file, &former, &[2, 9].into_iter().collect()).await.unwrap();
        assert_eq!((second.replaces, second.deletes.rows), (Some(first.deletes.id), 3));
        file.deletes = Some(second.deletes);
        assert_eq!(table.read_deletes(&file).await.unwrap().iter().collect::<Vec<_>>(), [1, 2, 9]);
        for nothing in [vec![], vec![1], vec![10]] {
            let refused = table.write_deletes(&file, &former, &nothing.into_iter().collect()).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        }
        file.deletes = file.deletes.map(|d| DeletesRecord { rows: 4, ..d });
        assert_eq!(table.read_deletes(&file).await.unwrap_err().kind(), ErrorKind::Corrupt);
        table.remove_deletes(std::slice::from_ref(&first)).await;
        file.deletes = Some(first.deletes);
        let gone = table.read_deletes(&file).await.unwrap_err();
        assert!(gone.to_string().contains("restore"), "{gone}");
    }
}
