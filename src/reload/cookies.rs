//! The secrets of cookies: from a file, which is read at every look as data files are; where there is none,
//! one that is made when the server starts.

use std::cell::RefCell;
use std::path::PathBuf;

use crate::config::{CookieConfig, CookieMode};
use crate::cookie::file::{self, SecretsError};
use crate::cookie::{Cookies, Secret};

/// Cookies, and where their secrets come from.
#[derive(Debug)]
pub struct CookieSecrets {
    file: Option<PathBuf>,
    cookies: RefCell<Cookies>,
    required: bool,
}

impl CookieSecrets {
    /// `None` where no cookies are made.
    ///
    /// # Errors
    /// There are no secrets.
    pub fn new(config: &CookieConfig) -> Result<Option<Self>, SecretsError> {
        let required = match config.mode {
            CookieMode::Off => return Ok(None),
            CookieMode::Answer => false,
            CookieMode::Require => true,
        };
        let (current, others) = match &config.secrets {
            Some(path) => file::read(path)?,
            None => (Secret::random().map_err(SecretsError::Random)?, Vec::new()),
        };
        let cookies = RefCell::new(Cookies::new(current, others, required));
        Ok(Some(Self { file: config.secrets.clone(), cookies, required }))
    }

    /// As they are made now.
    pub fn current(&self) -> Cookies {
        self.cookies.borrow().clone()
    }

    /// Reads the file again; true if it holds others than before.
    ///
    /// # Errors
    /// It cannot be used; the secrets are those before.
    pub(super) fn look(&self) -> Result<bool, SecretsError> {
        let Some(path) = &self.file else { return Ok(false) };
        let (current, others) = file::read(path)?;
        let cookies = Cookies::new(current, others, self.required);
        Ok(self.cookies.replace(cookies.clone()) != cookies)
    }
}
