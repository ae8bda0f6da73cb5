//! Replays the corpus of the fuzz targets: every file that once was worth keeping.

#[path = "../fuzz/targets.rs"]
mod targets;

use std::path::Path;

type Target = fn(&[u8]);

#[test]
fn the_corpus_is_survived() {
    let all: [(&str, Target); 16] = [
        ("packet", targets::packet),
        ("answers", targets::answers),
        ("proxied", targets::proxied),
        ("cookie", targets::cookie),
        ("secrets", targets::secrets),
        ("key_file", targets::key_file),
        ("reply", targets::reply),
        ("control", targets::control),
        ("apl", targets::apl),
        ("config", targets::config),
        ("addresses", targets::addresses),
        ("names", targets::names),
        ("generic", targets::generic),
        ("combined", targets::combined),
        ("acl", targets::acl),
        ("reversed_name", targets::reversed_name),
    ];
    for (target, run) in all {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let mut files = 0;
        for file in std::fs::read_dir(&directory).expect("the corpus is committed") {
            run(&std::fs::read(file.expect("a corpus file").path()).expect("a corpus file"));
            files += 1;
        }
        assert!(files > 0, "no corpus for {target}");
    }
}
