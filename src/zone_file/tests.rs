//! Tests of whole files in each format.
