//! Whether this database is the newest of its line: one that was restored or copied takes newer servers for orphans.
//!
//! Invariant: the mark in the database goes up before the one in the file outside it, so that a database whose mark is lower
//! than the file's was not there when the file was written. Absent: telling a copy apart that went on by itself from the
//! same mark; its file is another one.

use std::path::PathBuf;

use shared::{
    failure::Failure,
    secrets::{random_token, token_hash},
    store::{Db, installation},
};

/// Where the mark outside the database is; `None` when the operator has named no place, and nothing is ever deleted.
#[derive(Clone, Debug, Default)]
pub struct Lineage(pub Option<PathBuf>);

/// `<line>.<number>`.
fn read(text: &str) -> Option<(&str, u64)> {
    let (line, number) = text.trim().rsplit_once('.')?;
    Some((line, number.parse().ok()?))
}

impl Lineage {
    /// Whether the database is of the file's line and not older than it; then both go one up. A file that does not exist
    /// is no proof: `worker-provision adopt` makes it.
    pub async fn is_newest(&self, db: &Db) -> Result<bool, Failure> {
        let Some(path) = &self.0 else { return Ok(false) };
        let Ok(outside) = tokio::fs::read_to_string(path).await else { return Ok(false) };
        let inside = installation::marks(db).await?.lineage;
        let (Some((line, number)), Some((of_file, at_file))) = (read(&inside), read(&outside)) else {
            return Ok(false);
        };
        if line != of_file || number < at_file {
            tracing::warn!("this database is older than, or not of, the installation's line: nothing is deleted");
            return Ok(false);
        }
        let next = format!("{line}.{}", number + 1);
        if !installation::advance_lineage(db, &inside, &next).await? {
            // Another process has just done the same.
            return Ok(false);
        }
        tokio::fs::write(path, &next).await.map_err(|e| {
            Failure::transient("lineage", format!("the mark of the database's line cannot be written: {e}"))
        })?;
        Ok(true)
    }
}

impl Lineage {
    /// Goes one up before something is made, so that a copy of the database from before that is known to be older.
    pub async fn raise(&self, db: &Db) -> Result<(), Failure> {
        self.is_newest(db).await.map(drop)
    }
}

/// Takes a database for the newest of its line from now on, because a person says so.
pub async fn adopt(db: &Db, lineage: &Lineage) -> anyhow::Result<()> {
    let Some(path) = &lineage.0 else { anyhow::bail!("BYOP_LINEAGE_FILE names no file") };
    let inside = installation::marks(db).await?.lineage;
    let next = format!("{}.1", &token_hash(&random_token())[..16]);
    anyhow::ensure!(installation::advance_lineage(db, &inside, &next).await?, "another process changes it now");
    tokio::fs::write(path, &next).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_mark_is_a_line_and_a_number() {
        assert_eq!(read("ab-_c.12\n"), Some(("ab-_c", 12)));
        for bad in ["", "ab", "ab.", ".x", "ab.-1"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
