//! The binary: arguments to the library, the library's verdict to an exit code.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use nibbl::access_command;
use nibbl::check::check;
use nibbl::cli::{CliError, Command};
use nibbl::client::{lookup, relay};
use nibbl::config::LogConfig;
use nibbl::control::client::{ask, watch};
use nibbl::control::{Reply, Request, default_path, place_of_server};
use nibbl::export_command::{Failure, export};
use nibbl::key_command;
use nibbl::log;
use nibbl::manual;
use nibbl::privileges::{self, Descent};
use nibbl::rbldnsd::DEFAULT_USERS;
use nibbl::serve::{Plan, serve};
use nibbl::status::show;

fn main() -> ExitCode {
    let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR");
    let control = default_path(runtime_dir.as_deref().map(Path::new), privileges::user_id());
    let code = match Command::from_arguments(std::env::args_os(), place_of_server(&control)) {
        Ok(Command::Serve(config)) => {
            let plan = Plan {
                descent: Descent { user: config.process.user.clone(), ..Descent::default() },
                config: *config,
                load_or_fail: false,
                statistics: None,
            };
            run(plan, &control)
        }
        Ok(Command::Rbldnsd(options)) => {
            options.notes().into_iter().for_each(say);
            match options.plan(privileges::user_for_root(&DEFAULT_USERS)) {
                Ok(plan) => run(plan, &control),
                Err(error) => complain(error, 1),
            }
        }
        Ok(Command::Check { config, strict }) => {
            let mut out = BufWriter::new(io::stdout().lock());
            let findings = check(&config, SystemTime::now(), &mut out);
            match findings.and_then(|findings| out.flush().map(|()| findings)) {
                Ok(findings) => findings.exit_code(strict),
                Err(error) => complain(error, 2),
            }
        }
        Ok(Command::Export { config, order }) => {
            let mut out = BufWriter::new(io::stdout().lock());
            let clean = export(&config, &order, SystemTime::now(), &mut out, say);
            match clean
                .and_then(|clean| out.flush().map(|()| clean).map_err(|error| Failure::Export(error.into())))
            {
                Ok(clean) => u8::from(!clean),
                Err(error) => complain(error, 2),
            }
        }
        Ok(Command::Reload { control, zones, force }) => {
            let zones = zones.iter().map(ToString::to_string).collect();
            talk(&control, &Request::Reload { zones, force }, false)
        }
        Ok(Command::Status { control, json, watch: None }) => talk(&control, &Request::Status, json),
        Ok(Command::Status { control, watch: Some(interval), .. }) => {
            let Err(error) = watch(&control, interval, repaint);
            complain(error, 2)
        }
        Ok(Command::Lookup(arguments)) => {
            let mut out = BufWriter::new(io::stdout().lock());
            lookup::run(arguments, &mut out, say).unwrap_or_else(|error| complain(error, 2))
        }
        Ok(Command::Key(arguments)) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as u32;
            let mut out = io::stdout().lock();
            code(key_command::run(&arguments, now, &mut out), 1)
        }
        Ok(Command::Access(command)) => code(access_command::run(&command, &mut io::stdout().lock()), 1),
        Ok(Command::Usage { control, limit, json }) => talk(&control, &Request::Usage { limit }, json),
        Ok(Command::Relay(arguments)) => code(relay::run(&arguments, say), 1),
        Ok(Command::Man { described, directory }) => code(manual::write_pages(*described, &directory), 1),
        Ok(Command::Completions { described, shell }) => {
            code(manual::print_completions(*described, shell, &mut io::stdout().lock()), 1)
        }
        Err(CliError::Usage(usage)) => {
            // Help goes to standard output, errors to standard error; both may be closed.
            let _ = usage.print();
            u8::try_from(usage.exit_code()).unwrap_or(2)
        }
        Err(error @ CliError::Rbldnsd(_)) => complain(error, 1),
        Err(error) => complain(error, 2),
    };
    ExitCode::from(code)
}

/// Serves, with a log.
fn run(plan: Plan, control: &Path) -> u8 {
    let LogConfig { format, threshold } = plan.config.log;
    if let Err(error) = log::start(format, threshold) {
        return complain(error, 1);
    }
    match serve(plan, control) {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!("{error}");
            1
        }
    }
}

/// Asks the running server: 0 if all is well with its zones, 1 if not, 2 if there is no answer.
fn talk(control: &Path, request: &Request, json: bool) -> u8 {
    let (reply, line) = match ask(control, request) {
        Ok(answer) => answer,
        Err(error) => return complain(error, 2),
    };
    let text = match &reply {
        _ if json => format!("{line}\n"),
        Reply::Report(report) => show::report(report, SystemTime::now()),
        Reply::Status(status) => show::status(status, None, SystemTime::now()),
        Reply::Usage(report) => show::usage(report),
        Reply::Error(error) => return complain(error, 2),
    };
    if let Err(error) = io::stdout().write_all(text.as_bytes()) {
        return complain(error, 2);
    }
    match reply {
        Reply::Report(report) => u8::from(!report.is_clean()),
        Reply::Status(status) => u8::from(!status.is_clean()),
        Reply::Usage(_) => 0,
        Reply::Error(_) => 2,
    }
}

/// Shows a text in the place of the one before, on a terminal.
fn repaint(text: &str) -> io::Result<()> {
    const HOME_AND_CLEAR: &str = "\x1b[H\x1b[2J";
    let mut out = io::stdout().lock();
    if out.is_terminal() {
        out.write_all(HOME_AND_CLEAR.as_bytes())?;
    }
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn code<E: Display>(result: Result<(), E>, failure: u8) -> u8 {
    match result {
        Ok(()) => 0,
        Err(error) => complain(error, failure),
    }
}

fn complain(error: impl Display, code: u8) -> u8 {
    say(&error.to_string());
    code
}

/// A line on standard error, which may be closed.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "nibbl: {line}");
}
