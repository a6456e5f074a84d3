//! Where servers come from, behind one trait.
