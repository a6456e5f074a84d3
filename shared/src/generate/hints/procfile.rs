//! `Procfile`: one process per line, `name: command`.

use super::{Hints, add};
use crate::generate::source::SourceTree;

pub fn read(tree: &SourceTree, hints: &mut Hints) {
    let text = tree.text("Procfile").unwrap_or_default();
    for (number, line) in text.lines().enumerate() {
        let Some((name, command)) = line.split_once(':') else { continue };
        let from = format!("Procfile:{}", number + 1);
        match name.trim() {
            "web" => add(&mut hints.web, Some(command), &from),
            "release" => add(&mut hints.release, Some(command), &from),
            name if name.starts_with('#') => {}
            _ => add(&mut hints.worker, Some(command), &from),
        }
    }
}
