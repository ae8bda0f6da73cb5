//! Key files there and back, what is wrong with them, and BIND's own.

use std::process::Command;

use super::*;

const NOW: u32 = 1_800_000_000;

fn zone() -> Name {
    Name::from_text(b"BL.example").unwrap()
}

fn made(directory: &Path, algorithm: Algorithm, role: Role) -> KeyFile {
    let key = Key::generate(algorithm, role).unwrap();
    let file = KeyFile::new(directory, &zone(), key, Timing::from(NOW, role), Some(300)).unwrap();
    file.write(&zone()).unwrap();
    file
}

#[test]
fn there_and_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = made(directory.path(), Algorithm::Ed25519, Role::SecureEntry);
    first.others.push("Successor: 1".into());
    first.timing.sync_delete = Some(NOW + 5);
    first.write(&zone()).unwrap();
    made(directory.path(), Algorithm::EcdsaP256Sha256, Role::Zone);
    let keys = read_all(directory.path(), &zone()).unwrap();
    assert_eq!(keys.len(), 2);
    let read = keys.iter().find(|key| key.key.tag() == first.key.tag()).unwrap();
    assert_eq!((&read.others, read.timing, read.ttl), (&first.others, first.timing, first.ttl));
    assert_eq!((read.key.dnskey(), read.path()), (first.key.dnskey(), first.path()));
    let mode = |extension: &str| fs::metadata(first.path().with_extension(extension)).unwrap().mode() & 0o777;
    assert_eq!((mode("private"), mode("key")), (0o600, 0o644));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 4);
    assert!(load(directory.path(), &zone()).unwrap().warnings().is_empty());
    let other = Name::from_text(b"example").unwrap();
    assert!(matches!(load(directory.path(), &other), Err(KeyFileError::NoKey { .. })));
    let slash = Name::from_text(b"a/b").unwrap();
    assert!(matches!(load(directory.path(), &slash), Err(KeyFileError::File { fault: Fault::ZoneName, .. })));
}

#[test]
fn what_is_wrong_has_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let file = made(directory.path(), Algorithm::EcdsaP256Sha256, Role::SecureEntry);
    let private_path = file.path().with_extension("private");
    let (public, private) =
        (fs::read_to_string(file.path()).unwrap(), fs::read_to_string(&private_path).unwrap());
    let secret = BASE64.encode(file.key.private());
    let check = |public: String, private: String, expected: &str| {
        fs::write(file.path(), public).unwrap();
        fs::write(&private_path, private).unwrap();
        let error = load(directory.path(), &zone()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains(&secret[..20]), "{error}");
    };
    let with = |from: &str, to: &str| private.replacen(from, to, 1);
    for (private, expected) in [
        (with("v1.3", "v2"), ".private:1:21: not Private-key-format"),
        (with("13 (", "15 ("), ".private:2:12: the algorithm"),
        (with(&secret, "AAAA"), ".private:3:13: not a key of 32"),
        (with("PrivateKey", "Private"), ".private: there is no line"),
        (with("Publish: 2", "Publish: x"), ".private:5:10: not a time"),
        (with(&secret, &BASE64.encode(&[1; 32])), ".private: the private key does not belong"),
    ] {
        check(public.clone(), private, expected);
    }
    for (from, to, expected) in [
        (" 257 ", " 385 ", ".key:6:1: flags 385"),
        (" 3 13 ", " 3 8 ", ".key:6:1: algorithm 8"),
        (" 3 13 ", " 4 13 ", ".key:6:1: not a DNSKEY record"),
        (" IN DNSKEY", " IN KEY", ".key:6:1: not a DNSKEY record"),
        ("BL.example. ", "example. ", ".key:6:1: not one DNSKEY"),
        ("BL.example. ", ";", ".key: not one DNSKEY"),
        (" 257 ", " 256 ", ".key: the key has the tag"),
    ] {
        check(public.replacen(from, to, 1), private.clone(), expected);
    }
    check("x".repeat(65 << 10), private.clone(), "longer than 64 KiB");
    fs::write(file.path(), &public).unwrap();
    fs::write(&private_path, &private).unwrap();
    for (mode, fine) in [(0o644, false), (0o660, false), (0o602, false), (0o640, true), (0o400, true)] {
        fs::set_permissions(&private_path, Permissions::from_mode(mode)).unwrap();
        let loaded = load(directory.path(), &zone());
        assert_eq!(loaded.is_ok(), fine, "{mode:o} {loaded:?}");
    }
    fs::remove_file(&private_path).unwrap();
    assert!(matches!(load(directory.path(), &zone()), Err(KeyFileError::Io { .. })));
}

#[test]
fn spaces_hide_no_field() {
    let directory = tempfile::tempdir().unwrap();
    let file = made(directory.path(), Algorithm::Ed25519, Role::SecureEntry);
    let private_path = file.path().with_extension("private");
    let private = fs::read_to_string(&private_path).unwrap();
    fs::write(&private_path, private.replace(':', " :").replace("\nPublish", "\n Publish")).unwrap();
    let read = KeyFile::read(file.path().to_owned(), &zone()).unwrap();
    assert_eq!((read.timing, &read.others), (file.timing, &Vec::new()));
    let secret = BASE64.encode(file.key.private());
    fs::write(&private_path, format!("{private}PrivateKey {secret}\n")).unwrap();
    let read = KeyFile::read(file.path().to_owned(), &zone()).unwrap();
    assert!(!format!("{read:?}").contains(&secret));
}

/// One of 256 has a zero to begin with.
#[test]
fn bind_leaves_leading_zeros_of_ecdsa_keys_away() {
    let directory = tempfile::tempdir().unwrap();
    let keys = std::iter::repeat_with(|| Key::generate(Algorithm::EcdsaP256Sha256, Role::Zone).unwrap());
    let key = keys.take(1 << 14).find(|key| key.private()[0] == 0).unwrap();
    let timing = Timing::from(NOW, Role::Zone);
    let file = KeyFile::new(directory.path(), &zone(), key, timing, Some(300)).unwrap();
    file.write(&zone()).unwrap();
    let private_path = file.path().with_extension("private");
    let [padded, bare, short] = [&file.key.private()[..], &file.key.private()[1..], &[]]
        .map(|octets| format!("PrivateKey: {}", BASE64.encode(octets)));
    let text = fs::read_to_string(&private_path).unwrap();
    assert!(text.contains(&padded));
    fs::write(&private_path, text.replace(&padded, &bare)).unwrap();
    let read = KeyFile::read(file.path().to_owned(), &zone()).unwrap();
    assert_eq!((read.key.private(), read.key.dnskey()), (file.key.private(), file.key.dnskey()));
    fs::write(&private_path, text.replace(&padded, &short)).unwrap();
    assert!(KeyFile::read(file.path().to_owned(), &zone()).is_err());
}

#[test]
fn a_key_without_times_does_all() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = made(directory.path(), Algorithm::Ed25519, Role::SecureEntry);
    file.timing = Timing::default();
    file.write(&zone()).unwrap();
    let keys = load(directory.path(), &zone()).unwrap();
    assert_eq!(keys.at(NOW).signers(1).len(), 1);
}

#[test]
fn bind_reads_what_is_written_and_writes_what_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(directory.path()).output();
        output.map(|output| (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
    };
    let Ok((true, _)) =
        run("dnssec-keygen", &["-q", "-a", "13", "-f", "KSK", "-P", "sync", "now", "bl.example"])
    else {
        assert!(std::env::var_os("NIBBL_REQUIRE_PEERS").is_none(), "dnssec-keygen is missing");
        return println!("skipped: dnssec-keygen is missing");
    };
    run("dnssec-keygen", &["-q", "-a", "15", "-L", "77", "bl.example"]).unwrap();
    let file = made(directory.path(), Algorithm::Ed25519, Role::Zone);
    let keys = read_all(directory.path(), &zone()).unwrap();
    assert_eq!((keys.len(), ttl(&keys)), (3, 77));
    let ksk = keys.iter().find(|key| key.key.role() == Role::SecureEntry).unwrap();
    assert!(ksk.timing.sync_publish.is_some() && ksk.timing.inactive.is_none());
    let name = ksk.path().to_str().unwrap();
    let (_, ds) = run("dnssec-dsfromkey", &["-2", name]).unwrap();
    let digest: String = ksk.key.ds(&zone())[4..].iter().map(|octet| format!("{octet:02X}")).collect();
    assert!(ds.contains(&format!("DS {} 13 2 {digest}", ksk.key.tag())), "{ds} {digest}");
    // BIND takes our file, changes a time, and leaves the key as it was.
    assert!(run("dnssec-settime", &["-I", "20300101000000", file.path().to_str().unwrap()]).unwrap().0);
    let again = KeyFile::read(file.path().to_owned(), &zone()).unwrap();
    assert_eq!(again.timing, Timing { inactive: Some(1_893_456_000), ..file.timing });
    assert_eq!((again.key.dnskey(), again.ttl), (file.key.dnskey(), file.ttl));
}
