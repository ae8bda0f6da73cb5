//! One dataset, compiled: what the files of one `zone:type:files` specification say.
//! (In work by the lead.)
