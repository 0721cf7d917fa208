//! The hand-off fails: codes 0x5_. Those of a root are in `root.rs`.

use guest_init::failure::Code;

use super::boot;
use crate::support::scene::{dynamic_program, foreign};
use crate::support::{Image, Machine, built};

#[test]
fn a_missing_agent_is_a_failure() {
    let line = "start /opt/agent: ENOENT: there is no such file";
    boot(Image::new(), "guest_init.agent=/opt/agent").failed(Code::AgentMissing, line);
}

#[test]
fn an_agent_without_an_execute_bit_is_a_failure() {
    let line = "start /opt/agent: EACCES: no execute bit in its mode";
    boot(Image::new().file("/opt/agent", "#!/bin/sh\n", 0o644), "guest_init.agent=/opt/agent")
        .failed(Code::AgentNotExecutable, line);
}

#[test]
fn a_directory_in_place_of_the_agent_is_a_failure() {
    let line = "start /proc: EACCES: it is no regular file";
    boot(Image::new(), "guest_init.agent=/proc").failed(Code::AgentNotExecutable, line);
}

#[test]
fn a_script_without_its_interpreter_is_a_failure_that_names_the_interpreter() {
    let line = "start /opt/agent: ENOENT: its interpreter /no/such/sh is not there";
    boot(Image::new().file("/opt/agent", "#! /no/such/sh -e\n", 0o755), "guest_init.agent=/opt/agent")
        .failed(Code::InterpreterMissing, line);
}

#[test]
fn a_script_with_the_lines_of_windows_is_a_failure_that_shows_the_end_of_the_line() {
    let line = "start /opt/agent: ENOENT: its interpreter /bin/sh\\r is not there: the script's lines end in CR LF";
    boot(Image::new().file("/opt/agent", "#!/bin/sh\r\necho\r\n", 0o755), "guest_init.agent=/opt/agent")
        .failed(Code::InterpreterMissing, line);
}

#[test]
fn an_agent_without_its_loader_is_a_failure_that_names_the_loader() {
    let line = format!("start /opt/agent: ENOENT: its interpreter {} is not there", Machine::under_test().arch.loader);
    let program = dynamic_program();
    boot(Image::new().add(program.path(), "/opt/agent"), "guest_init.agent=/opt/agent")
        .failed(Code::InterpreterMissing, &line);
}

#[test]
fn an_agent_of_another_architecture_is_a_failure_that_names_both() {
    let arch = Machine::under_test().arch.name;
    let (agent, other) = foreign(std::fs::read(built().join("demo-agent")).expect("the agent can be read"));
    let line = format!("start /opt/agent: ENOEXEC: built for {other}, this machine is {arch}");
    boot(Image::new().file("/opt/agent", agent, 0o755), "guest_init.agent=/opt/agent")
        .failed(Code::AgentRefused, &line);
}

#[test]
fn an_agent_that_is_no_program_is_a_failure() {
    let line = "start /opt/agent: ENOEXEC: no program for this machine";
    boot(Image::new().file("/opt/agent", "hello\n", 0o755), "guest_init.agent=/opt/agent")
        .failed(Code::AgentRefused, line);
}
