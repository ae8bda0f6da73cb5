//! The certificates of encrypted listeners at each look at the files: read again when their files
//! changed, kept when what is there cannot be used, and watched as they grow old.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Notice, Round};
use crate::server::Certificate;

/// All certificates, and what is known of them.
#[derive(Debug, Default)]
pub struct Certificates(Vec<Watched>);

#[derive(Debug)]
struct Watched {
    certificate: Arc<Certificate>,
    /// Why what the files hold now is not served.
    problem: Option<String>,
    age: Age,
}

/// How far the life of a certificate has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    Good,
    /// It should have been replaced: a tenth of its time is left.
    Old,
    Expired,
}

/// A certificate at one moment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CertificateReport {
    /// The file of its chain.
    pub file: String,
    /// When the one that is served expires, in seconds since 1970.
    pub expires: u64,
    /// Why it is not the one that its files hold.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub problem: Option<String>,
}

impl Certificates {
    /// These, as they were read at the start.
    pub fn new(certificates: &[Arc<Certificate>]) -> Self {
        let watched = |certificate: &Arc<Certificate>| Watched {
            certificate: certificate.clone(),
            problem: None,
            age: Age::Good,
        };
        Self(certificates.iter().map(watched).collect())
    }

    /// Reads the files again. What there is to say comes to that of the round.
    pub fn look(&mut self, now: SystemTime, round: &mut Round) {
        self.0.iter_mut().for_each(|watched| watched.look(now, round));
    }

    /// How they are.
    pub fn report(&self) -> Vec<CertificateReport> {
        self.0.iter().map(Watched::report).collect()
    }
}

impl Watched {
    fn look(&mut self, now: SystemTime, round: &mut Round) {
        let said = |text: String| Notice::from(format!("certificate {}: {text}", self.name()));
        let result = self.certificate.read_again(now);
        match &result {
            Ok(true) => {
                round.news.push(said(format!("a new one, for {}", self.days_left(now))));
            }
            Ok(false) if self.problem.is_some() => {
                round.news.push(said("its files are again as they are served".into()));
            }
            Ok(false) => {}
            Err(error) if self.problem.as_ref() != Some(&error.to_string()) => {
                round.complaints.push(said(format!("the old one is kept: {error}")));
            }
            Err(_) => {}
        }
        let age = Age::of(&self.certificate, now);
        match age {
            Age::Old if self.age != age => {
                round.complaints.push(said(format!("it expires in {}", self.days_left(now))));
            }
            Age::Expired if self.age != age => round.complaints.push(said("it has expired".into())),
            _ => {}
        }
        self.problem = result.err().map(|error| error.to_string());
        self.age = age;
    }

    fn name(&self) -> String {
        self.certificate.files().chain.display().to_string()
    }

    fn days_left(&self, now: SystemTime) -> String {
        let left = self.certificate.validity().expires.duration_since(now).unwrap_or_default();
        format!("{:.1} days", left.as_secs_f64() / 86_400.0)
    }

    fn report(&self) -> CertificateReport {
        let expires = self.certificate.validity().expires.duration_since(UNIX_EPOCH);
        CertificateReport {
            file: self.name(),
            expires: expires.map_or(0, |expires| expires.as_secs()),
            problem: self.problem.clone(),
        }
    }
}

impl Age {
    fn of(certificate: &Certificate, now: SystemTime) -> Self {
        let validity = certificate.validity();
        let whole = validity.expires.duration_since(validity.begins).unwrap_or_default();
        match validity.expires.duration_since(now) {
            Ok(left) if left > whole / 10 => Self::Good,
            Ok(Duration::ZERO) | Err(_) => Self::Expired,
            Ok(_) => Self::Old,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::CertificateFiles;

    const DAY: Duration = Duration::from_secs(86_400);

    fn write(files: &CertificateFiles) {
        let made = rcgen::KeyPair::generate().and_then(|key| {
            let mut parameters = rcgen::CertificateParams::new(["ns.example".to_owned()])?;
            parameters.not_before = time::OffsetDateTime::now_utc();
            parameters.not_after = parameters.not_before + time::Duration::days(100);
            Ok((parameters.self_signed(&key)?, key))
        });
        let (certificate, key) = made.unwrap();
        std::fs::write(&files.chain, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
    }

    #[test]
    fn everything_is_said_once() {
        let directory = tempfile::tempdir().unwrap();
        let [chain, key] = ["chain.pem", "key.pem"].map(|name| directory.path().join(name));
        let files = CertificateFiles { chain, key };
        write(&files);
        let certificate = Arc::new(Certificate::read(files.clone()).unwrap());
        let mut certificates = Certificates::new(std::slice::from_ref(&certificate));
        let start = SystemTime::now();
        let mut look = |after: Duration| {
            let mut round = Round::default();
            certificates.look(start + after, &mut round);
            let said: Vec<String> = round.notices().map(ToString::to_string).collect();
            let [report] = &certificates.report()[..] else { panic!("one certificate") };
            (said.join("\n"), report.clone())
        };
        let (said, first) = look(Duration::ZERO);
        assert_eq!((&*said, &first.problem), ("", &None));

        std::fs::write(&files.key, "").unwrap();
        let (said, kept) = look(DAY);
        assert!(said.contains("chain.pem: the old one is kept: ") && said.contains("key.pem: "), "{said}");
        assert!(kept.problem.is_some() && kept.expires == first.expires);
        assert_eq!(look(DAY).0, "");
        let (said, kept) = look(91 * DAY);
        assert!(said.ends_with("it expires in 9.0 days"), "{said}");
        assert_eq!(look(92 * DAY), (String::new(), kept));

        std::fs::remove_file(&files.chain).unwrap();
        let (said, _) = look(101 * DAY);
        assert!(said.contains("the old one is kept") && said.ends_with("it has expired"), "{said}");
        write(&files);
        let (said, new) = look(DAY);
        assert!(said.ends_with("a new one, for 99.0 days"), "{said}");
        assert!(new.problem.is_none() && new.expires >= first.expires);
    }
}
