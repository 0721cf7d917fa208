//! A session: it handles events until guest-init has reported, or nothing will be heard any more.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use guest_init::notification::Notification;
use guest_init::text::Text;
use nix::sys::signal::Signal;
use signal_hook::consts::SIGCHLD;

use crate::cli::exit::Exit;
use crate::cli::{stderr, stdout};

use super::Arguments;
use super::channel::Channel;
use super::command::Command;
use super::event::Event;
use super::message::Message;

/// The time that the command has to end by itself, and after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(5);

/// The time in which messages may still arrive after the command's end, because its last one can pass through another
/// process, such as vhost-device-vsock.
const AFTERMATH: Duration = Duration::from_secs(1);

/// A session.
pub struct Session<'a> {
    events: Receiver<Event>,
    channel: &'a Channel,
    command: Option<Command>,
    arguments: &'a Arguments,
    /// The last message, which may be cut.
    last: Option<Text<512>>,
}

/// The meaning of an event for the session.
enum Step {
    /// None.
    Nothing,
    /// guest-init started the agent.
    Started,
    /// guest-init failed with this code.
    Failed(u8),
    /// The command ended in this way.
    Ended(String),
    /// No message can arrive any more, for this reason.
    Silence(String),
    /// A signal ended this process, which has no command to pass it on to.
    Signal(u8),
    /// The time is up.
    Timeout,
}

impl<'a> Session<'a> {
    /// Creates a session.
    pub fn new(
        events: Receiver<Event>,
        channel: &'a Channel,
        command: Option<Command>,
        arguments: &'a Arguments,
    ) -> Self {
        Self { events, channel, command, arguments, last: None }
    }

    /// Runs the session to its end.
    pub fn run(mut self) -> Result<Exit> {
        let mut end = self.arguments.time_limit.map(|limit| Instant::now() + limit);
        let (mut is_started, mut ended) = (false, None);
        loop {
            match self.next(end)? {
                Step::Nothing => {}
                Step::Started if !self.arguments.wait => return Ok(Exit::Done),
                Step::Started => {
                    is_started = true;
                    end = ended.as_ref().and(end);
                }
                Step::Failed(code) => {
                    self.end_command(PATIENCE)?;
                    return Ok(Exit::Guest(code));
                }
                Step::Ended(how) => {
                    ended = Some(how);
                    end = Some(Instant::now() + AFTERMATH);
                }
                Step::Silence(why) if self.command.is_none() => bail!("{why}; {}", self.heard()),
                Step::Silence(why) => stderr::warn(why),
                Step::Signal(signal) => return Ok(Exit::Signal(signal)),
                Step::Timeout if is_started => return Ok(Exit::Done),
                Step::Timeout => match ended {
                    Some(how) => bail!("{how} before guest-init reported; {}", self.heard()),
                    None => return self.time_limit(),
                },
            }
        }
    }

    /// Ends the session because guest-init did not report in time.
    fn time_limit(&mut self) -> Result<Exit> {
        let limit = self.arguments.time_limit.unwrap_or_default().as_secs_f64();
        let heard = self.heard();
        stderr::print(format_args!("guest-image: guest-init did not report within {limit} s; {heard}"));
        self.end_command(Duration::ZERO)?;
        Ok(Exit::TimedOut)
    }

    /// The last message, for a failure.
    fn heard(&self) -> String {
        let heard =
            self.last.as_ref().map_or("nothing was heard".into(), |last| format!("heard last: {}", last.as_str()));
        heard + self.channel.doubt()
    }

    /// Waits for the command's end for so long, then sends SIGTERM, and SIGKILL at last.
    fn end_command(&mut self, patience: Duration) -> Result<()> {
        for (patience, signal) in
            [(patience, Some(Signal::SIGTERM)), (PATIENCE, Some(Signal::SIGKILL)), (PATIENCE, None)]
        {
            if self.has_ended_within(patience)? {
                return Ok(());
            }
            if let (Some(command), Some(signal)) = (&mut self.command, signal) {
                command.signal(signal)?;
            }
        }
        bail!("the command does not end after SIGKILL")
    }

    fn has_running_command(&mut self) -> Result<bool> {
        Ok(match &mut self.command {
            Some(command) => command.ended()?.is_none(),
            None => false,
        })
    }

    /// Whether there is no command, or it ends in time.
    fn has_ended_within(&mut self, patience: Duration) -> Result<bool> {
        let end = Instant::now() + patience;
        loop {
            if !self.has_running_command()? {
                return Ok(true);
            }
            if let Step::Timeout = self.next(Some(end))? {
                return Ok(false);
            }
        }
    }

    /// Handles the next event, unless the end has come. Events that wait do not put it off.
    fn next(&mut self, end: Option<Instant>) -> Result<Step> {
        let event = match end.map(|end| end.saturating_duration_since(Instant::now())) {
            Some(Duration::ZERO) => Err(RecvTimeoutError::Timeout),
            Some(left) => self.events.recv_timeout(left),
            None => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match event {
            Ok(Event::Message(bytes, cid)) => self.message(&Message::new(&bytes, cid)),
            Ok(Event::Flaw(flaw)) => {
                stderr::warn(flaw);
                Ok(Step::Nothing)
            }
            Ok(Event::Silence(why)) => Ok(Step::Silence(why)),
            Ok(Event::Signal(SIGCHLD)) => self.child(),
            Ok(Event::Signal(signal)) => self.signal(Signal::try_from(signal)?),
            Err(RecvTimeoutError::Timeout) => Ok(Step::Timeout),
            Err(RecvTimeoutError::Disconnected) => bail!("every thread ended"),
        }
    }

    /// Prints a message.
    fn message(&mut self, message: &Message) -> Result<Step> {
        let line = if self.arguments.json { message.json()? } else { message.to_string() };
        stdout::print(&(line + "\n"))?;
        self.last = Some(Text::of(message));
        Ok(match message.notification {
            Some(Notification::Started { .. }) => Step::Started,
            Some(Notification::Failed { code, .. }) => Step::Failed(code),
            None => Step::Nothing,
        })
    }

    /// Looks at the command after SIGCHLD, which also comes if the command is stopped.
    fn child(&mut self) -> Result<Step> {
        let Some(command) = &mut self.command else { return Ok(Step::Nothing) };
        let ended = command.ended()?;
        Ok(ended.map_or(Step::Nothing, |status| Step::Ended(format!("{} ended ({status})", command.name()))))
    }

    /// Passes a signal on to the command, if it has not ended.
    fn signal(&mut self, signal: Signal) -> Result<Step> {
        if !self.has_running_command()? {
            return Ok(Step::Signal(signal as u8));
        }
        self.command.iter_mut().try_for_each(|command| command.signal(signal))?;
        Ok(Step::Nothing)
    }
}
