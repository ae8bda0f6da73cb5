//! From rbldnsd's options to what `serve` does with them: the part that looks up names.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::{Bind, Options, Sink};
use crate::config::Config;
use crate::config::spec::SpecError;
use crate::privileges::Descent;
use crate::query_log::Target;
use crate::serve::{Plan, Statistics};

/// Why the options lead to no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A value of `-b` is not known here.
    #[error("-b {bind}: {source}")]
    Bind {
        /// The value.
        bind: Bind,
        /// What the system says.
        source: io::Error,
    },
    /// The zone specifications contradict each other.
    #[error("{0}")]
    Spec(#[from] SpecError),
}

fn query_log(sink: &Sink) -> Target {
    Target { unbuffered: sink.plus, ..Target::new(sink.file()) }
}

impl Options {
    /// What is to be done. `default_user` is whom to become without `-u`: somebody, where the process
    /// runs as root.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn plan(&self, default_user: Option<&str>) -> Result<Plan, PlanError> {
        let addresses = self.addresses().map_err(|(bind, source)| PlanError::Bind { bind, source })?;
        let default_user = default_user.map(|user| (user.to_owned(), None));
        Ok(Plan {
            config: Config { query_log: self.query_log.as_ref().map(query_log), ..self.config(addresses)? },
            descent: Descent {
                pid_file: self.pid_file.clone(),
                root: self.root.clone(),
                dir: self.dir.clone(),
                user: self.user.clone().or(default_user),
            },
            load_or_fail: !self.quick_start,
            statistics: self.statistics.as_ref().map(|statistics| Statistics {
                file: statistics.file(),
                differences: statistics.plus,
                interval: Some(self.check_interval()).filter(|interval| !interval.is_zero()),
            }),
        })
    }

    /// `-c`; zero is never.
    pub(super) fn check_interval(&self) -> Duration {
        Duration::from_secs(self.check_interval.unwrap_or(60).into())
    }
}

impl Sink {
    /// The file, or `None` for standard output.
    fn file(&self) -> Option<PathBuf> {
        Some(self.path.clone()).filter(|path| path.as_os_str() != "-")
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::{Request, parse};
    use super::*;

    fn plan(words: &str, default_user: Option<&str>) -> Plan {
        match parse(words.split_whitespace().map(OsString::from)).unwrap() {
            Request::Run(options) => options.plan(default_user).unwrap(),
            Request::Help => panic!("help"),
        }
    }

    #[test]
    fn what_the_options_ask_for() {
        let plan =
            plan("-q -u dns:list -r /root -w dir -p pid -l +log -s +- -c 2m -b ::1 bl:ip:a", Some("rbldns"));
        let descent = Descent {
            pid_file: Some("pid".into()),
            root: Some("/root".into()),
            dir: Some("dir".into()),
            user: Some(("dns".to_owned(), Some("list".to_owned()))),
        };
        assert_eq!(plan.descent, descent);
        assert!(!plan.load_or_fail);
        assert_eq!(
            plan.config.query_log,
            Some(Target { unbuffered: true, ..Target::new(Some("log".into())) })
        );
        let interval = Some(Duration::from_secs(120));
        assert_eq!(plan.statistics, Some(Statistics { file: None, differences: true, interval }));
    }

    #[test]
    fn root_becomes_somebody_else() {
        assert_eq!(plan("-b ::1 bl:ip:a", Some("rbldns")).descent.user, Some(("rbldns".to_owned(), None)));
        assert_eq!(plan("-b ::1 bl:ip:a", None).descent.user, None);
        assert_eq!(plan("-c 0 -s f -b ::1 bl:ip:a", None).statistics.unwrap().interval, None);
    }
}
