//! Where a test rents.

use shared::providers::cloud::{Catalog, Size};

/// A region with two sizes of one architecture, the second with no smaller disk.
pub fn two_sizes(catalog: &Catalog) -> (String, [String; 2]) {
    for region in &catalog.regions {
        let here: Vec<_> = catalog.sizes.iter().filter(|s| s.regions.iter().any(|r| r.region == region.code)).collect();
        for first in &here {
            let follows =
                |s: &&&Size| s.code != first.code && s.architecture == first.architecture && s.disk_gb >= first.disk_gb;
            if let Some(second) = here.iter().find(follows) {
                return (region.code.clone(), [first.code.clone(), second.code.clone()]);
            }
        }
    }
    panic!("no region with two sizes: {catalog:?}");
}
