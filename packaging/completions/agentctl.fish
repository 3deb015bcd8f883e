# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_agentctl_global_optspecs
    string join \n json socket= utc color= h/help V/version
end

function __fish_agentctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_agentctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_agentctl_using_subcommand
    set -l cmd (__fish_agentctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c agentctl -n "__fish_agentctl_needs_command" -l socket -d 'Ask the agent at this socket instead of `AGENTD_SOCKET` or /run/agentd/agentd.sock' -r -F
complete -c agentctl -n "__fish_agentctl_needs_command" -l color -d 'When to colour; `NO_COLOR` and TERM=dumb are respected' -r -f -a "auto\t'On a terminal'
always\t'Also into files and pipes'
never\t'Not at all'"
complete -c agentctl -n "__fish_agentctl_needs_command" -l json -d 'Print one JSON document on stdout and nothing else'
complete -c agentctl -n "__fish_agentctl_needs_command" -l utc -d 'Show times in UTC only'
complete -c agentctl -n "__fish_agentctl_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c agentctl -n "__fish_agentctl_needs_command" -s V -l version -d 'Print version'
complete -c agentctl -n "__fish_agentctl_needs_command" -f -a "status" -d 'Show what will happen and when, because of what, and how to prevent it'
complete -c agentctl -n "__fish_agentctl_needs_command" -f -a "why" -d 'Show every piece of evidence, also what is ignored'
complete -c agentctl -n "__fish_agentctl_needs_command" -f -a "watch" -d 'Show the status, drawn again every second'
complete -c agentctl -n "__fish_agentctl_needs_command" -f -a "hold" -d 'Keep the machine up for a while'
complete -c agentctl -n "__fish_agentctl_needs_command" -f -a "release" -d 'End a hold, or all of yours'
complete -c agentctl -n "__fish_agentctl_needs_command" -f -a "run" -d 'Keep the machine up while a command runs'
complete -c agentctl -n "__fish_agentctl_needs_command" -f -a "events" -d 'Show what happened'
complete -c agentctl -n "__fish_agentctl_needs_command" -f -a "config" -d 'Check, show or explain the configuration'
complete -c agentctl -n "__fish_agentctl_needs_command" -f -a "simulate" -d 'Replay what was recorded under another configuration: what would have happened, and what it would have saved'
complete -c agentctl -n "__fish_agentctl_needs_command" -f -a "hibernate" -d 'Hibernate this instance now, through every gate (administrators)'
complete -c agentctl -n "__fish_agentctl_needs_command" -f -a "stop" -d 'Stop this instance now, through every gate (administrators)'
complete -c agentctl -n "__fish_agentctl_needs_command" -f -a "spot" -d 'Show whether EC2 announces an interruption, whether it would be seen, and what is done then'
complete -c agentctl -n "__fish_agentctl_needs_command" -f -a "doctor" -d 'Check whether the agent has what it needs: metadata, credentials, permissions, sources, clock'
complete -c agentctl -n "__fish_agentctl_needs_command" -f -a "completions" -d 'Print a completion script for a shell'
complete -c agentctl -n "__fish_agentctl_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c agentctl -n "__fish_agentctl_using_subcommand status" -l socket -d 'Ask the agent at this socket instead of `AGENTD_SOCKET` or /run/agentd/agentd.sock' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand status" -l color -d 'When to colour; `NO_COLOR` and TERM=dumb are respected' -r -f -a "auto\t'On a terminal'
always\t'Also into files and pipes'
never\t'Not at all'"
complete -c agentctl -n "__fish_agentctl_using_subcommand status" -l check -d 'Print nothing and answer by exit code'
complete -c agentctl -n "__fish_agentctl_using_subcommand status" -l json -d 'Print one JSON document on stdout and nothing else'
complete -c agentctl -n "__fish_agentctl_using_subcommand status" -l utc -d 'Show times in UTC only'
complete -c agentctl -n "__fish_agentctl_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c agentctl -n "__fish_agentctl_using_subcommand why" -l socket -d 'Ask the agent at this socket instead of `AGENTD_SOCKET` or /run/agentd/agentd.sock' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand why" -l color -d 'When to colour; `NO_COLOR` and TERM=dumb are respected' -r -f -a "auto\t'On a terminal'
always\t'Also into files and pipes'
never\t'Not at all'"
complete -c agentctl -n "__fish_agentctl_using_subcommand why" -l json -d 'Print one JSON document on stdout and nothing else'
complete -c agentctl -n "__fish_agentctl_using_subcommand why" -l utc -d 'Show times in UTC only'
complete -c agentctl -n "__fish_agentctl_using_subcommand why" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c agentctl -n "__fish_agentctl_using_subcommand watch" -l socket -d 'Ask the agent at this socket instead of `AGENTD_SOCKET` or /run/agentd/agentd.sock' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand watch" -l color -d 'When to colour; `NO_COLOR` and TERM=dumb are respected' -r -f -a "auto\t'On a terminal'
always\t'Also into files and pipes'
never\t'Not at all'"
complete -c agentctl -n "__fish_agentctl_using_subcommand watch" -l json -d 'Print one JSON document on stdout and nothing else'
complete -c agentctl -n "__fish_agentctl_using_subcommand watch" -l utc -d 'Show times in UTC only'
complete -c agentctl -n "__fish_agentctl_using_subcommand watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c agentctl -n "__fish_agentctl_using_subcommand hold" -s r -l reason -d 'Why, for those who read the status' -r
complete -c agentctl -n "__fish_agentctl_using_subcommand hold" -l socket -d 'Ask the agent at this socket instead of `AGENTD_SOCKET` or /run/agentd/agentd.sock' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand hold" -l color -d 'When to colour; `NO_COLOR` and TERM=dumb are respected' -r -f -a "auto\t'On a terminal'
always\t'Also into files and pipes'
never\t'Not at all'"
complete -c agentctl -n "__fish_agentctl_using_subcommand hold" -l json -d 'Print one JSON document on stdout and nothing else'
complete -c agentctl -n "__fish_agentctl_using_subcommand hold" -l utc -d 'Show times in UTC only'
complete -c agentctl -n "__fish_agentctl_using_subcommand hold" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c agentctl -n "__fish_agentctl_using_subcommand release" -l socket -d 'Ask the agent at this socket instead of `AGENTD_SOCKET` or /run/agentd/agentd.sock' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand release" -l color -d 'When to colour; `NO_COLOR` and TERM=dumb are respected' -r -f -a "auto\t'On a terminal'
always\t'Also into files and pipes'
never\t'Not at all'"
complete -c agentctl -n "__fish_agentctl_using_subcommand release" -l json -d 'Print one JSON document on stdout and nothing else'
complete -c agentctl -n "__fish_agentctl_using_subcommand release" -l utc -d 'Show times in UTC only'
complete -c agentctl -n "__fish_agentctl_using_subcommand release" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c agentctl -n "__fish_agentctl_using_subcommand run" -s r -l reason -d 'Why, for those who read the status; the command itself without it' -r
complete -c agentctl -n "__fish_agentctl_using_subcommand run" -l socket -d 'Ask the agent at this socket instead of `AGENTD_SOCKET` or /run/agentd/agentd.sock' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand run" -l color -d 'When to colour; `NO_COLOR` and TERM=dumb are respected' -r -f -a "auto\t'On a terminal'
always\t'Also into files and pipes'
never\t'Not at all'"
complete -c agentctl -n "__fish_agentctl_using_subcommand run" -l json -d 'Print one JSON document on stdout and nothing else'
complete -c agentctl -n "__fish_agentctl_using_subcommand run" -l utc -d 'Show times in UTC only'
complete -c agentctl -n "__fish_agentctl_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c agentctl -n "__fish_agentctl_using_subcommand events" -l since -d 'Only what happened in this last while: 30m, 2h' -r
complete -c agentctl -n "__fish_agentctl_using_subcommand events" -l after -d 'Only what comes behind this number' -r
complete -c agentctl -n "__fish_agentctl_using_subcommand events" -l socket -d 'Ask the agent at this socket instead of `AGENTD_SOCKET` or /run/agentd/agentd.sock' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand events" -l color -d 'When to colour; `NO_COLOR` and TERM=dumb are respected' -r -f -a "auto\t'On a terminal'
always\t'Also into files and pipes'
never\t'Not at all'"
complete -c agentctl -n "__fish_agentctl_using_subcommand events" -s f -l follow -d 'Go on with what happens'
complete -c agentctl -n "__fish_agentctl_using_subcommand events" -l json -d 'Print one JSON document on stdout and nothing else'
complete -c agentctl -n "__fish_agentctl_using_subcommand events" -l utc -d 'Show times in UTC only'
complete -c agentctl -n "__fish_agentctl_using_subcommand events" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and not __fish_seen_subcommand_from check show explain help" -l config -d 'This file alone, instead of the files of this machine' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and not __fish_seen_subcommand_from check show explain help" -l socket -d 'Ask the agent at this socket instead of `AGENTD_SOCKET` or /run/agentd/agentd.sock' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and not __fish_seen_subcommand_from check show explain help" -l color -d 'When to colour; `NO_COLOR` and TERM=dumb are respected' -r -f -a "auto\t'On a terminal'
always\t'Also into files and pipes'
never\t'Not at all'"
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and not __fish_seen_subcommand_from check show explain help" -l json -d 'Print one JSON document on stdout and nothing else'
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and not __fish_seen_subcommand_from check show explain help" -l utc -d 'Show times in UTC only'
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and not __fish_seen_subcommand_from check show explain help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and not __fish_seen_subcommand_from check show explain help" -f -a "check" -d 'Say what is wrong with the configuration, with file and line'
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and not __fish_seen_subcommand_from check show explain help" -f -a "show" -d 'Show every value in force and where it comes from'
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and not __fish_seen_subcommand_from check show explain help" -f -a "explain" -d 'Explain one key: what it does, its type, its default, its value'
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and not __fish_seen_subcommand_from check show explain help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and __fish_seen_subcommand_from check" -l config -d 'This file alone, instead of the files of this machine' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and __fish_seen_subcommand_from check" -l socket -d 'Ask the agent at this socket instead of `AGENTD_SOCKET` or /run/agentd/agentd.sock' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and __fish_seen_subcommand_from check" -l color -d 'When to colour; `NO_COLOR` and TERM=dumb are respected' -r -f -a "auto\t'On a terminal'
always\t'Also into files and pipes'
never\t'Not at all'"
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and __fish_seen_subcommand_from check" -l json -d 'Print one JSON document on stdout and nothing else'
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and __fish_seen_subcommand_from check" -l utc -d 'Show times in UTC only'
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and __fish_seen_subcommand_from show" -l config -d 'This file alone, instead of the files of this machine' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and __fish_seen_subcommand_from show" -l socket -d 'Ask the agent at this socket instead of `AGENTD_SOCKET` or /run/agentd/agentd.sock' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and __fish_seen_subcommand_from show" -l color -d 'When to colour; `NO_COLOR` and TERM=dumb are respected' -r -f -a "auto\t'On a terminal'
always\t'Also into files and pipes'
never\t'Not at all'"
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and __fish_seen_subcommand_from show" -l json -d 'Print one JSON document on stdout and nothing else'
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and __fish_seen_subcommand_from show" -l utc -d 'Show times in UTC only'
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and __fish_seen_subcommand_from explain" -l config -d 'This file alone, instead of the files of this machine' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and __fish_seen_subcommand_from explain" -l socket -d 'Ask the agent at this socket instead of `AGENTD_SOCKET` or /run/agentd/agentd.sock' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and __fish_seen_subcommand_from explain" -l color -d 'When to colour; `NO_COLOR` and TERM=dumb are respected' -r -f -a "auto\t'On a terminal'
always\t'Also into files and pipes'
never\t'Not at all'"
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and __fish_seen_subcommand_from explain" -l json -d 'Print one JSON document on stdout and nothing else'
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and __fish_seen_subcommand_from explain" -l utc -d 'Show times in UTC only'
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and __fish_seen_subcommand_from explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "check" -d 'Say what is wrong with the configuration, with file and line'
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show every value in force and where it comes from'
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "explain" -d 'Explain one key: what it does, its type, its default, its value'
complete -c agentctl -n "__fish_agentctl_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c agentctl -n "__fish_agentctl_using_subcommand simulate" -l policy -d 'Lay this configuration over the one of this machine' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand simulate" -l since -d 'Only this last while of the recording: 12h, 7d' -r
complete -c agentctl -n "__fish_agentctl_using_subcommand simulate" -l trace -d 'Replay this trace instead of the recording; \'-\' is standard input' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand simulate" -l price -d 'Tell what is saved at this price, US dollars an hour' -r
complete -c agentctl -n "__fish_agentctl_using_subcommand simulate" -l export -d 'Replay nothing; write the trace to this file as plain lines. \'-\' is standard output' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand simulate" -l socket -d 'Ask the agent at this socket instead of `AGENTD_SOCKET` or /run/agentd/agentd.sock' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand simulate" -l color -d 'When to colour; `NO_COLOR` and TERM=dumb are respected' -r -f -a "auto\t'On a terminal'
always\t'Also into files and pipes'
never\t'Not at all'"
complete -c agentctl -n "__fish_agentctl_using_subcommand simulate" -l all -d 'Show everything that happens, also what leads to nothing'
complete -c agentctl -n "__fish_agentctl_using_subcommand simulate" -l anonymise -d 'Replace the names of users and programs in what is written'
complete -c agentctl -n "__fish_agentctl_using_subcommand simulate" -l json -d 'Print one JSON document on stdout and nothing else'
complete -c agentctl -n "__fish_agentctl_using_subcommand simulate" -l utc -d 'Show times in UTC only'
complete -c agentctl -n "__fish_agentctl_using_subcommand simulate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c agentctl -n "__fish_agentctl_using_subcommand hibernate" -l socket -d 'Ask the agent at this socket instead of `AGENTD_SOCKET` or /run/agentd/agentd.sock' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand hibernate" -l color -d 'When to colour; `NO_COLOR` and TERM=dumb are respected' -r -f -a "auto\t'On a terminal'
always\t'Also into files and pipes'
never\t'Not at all'"
complete -c agentctl -n "__fish_agentctl_using_subcommand hibernate" -l dry-run -d 'Only say whether it would be done'
complete -c agentctl -n "__fish_agentctl_using_subcommand hibernate" -s y -l yes -d 'Do not ask; needed where there is no terminal to ask at'
complete -c agentctl -n "__fish_agentctl_using_subcommand hibernate" -l json -d 'Print one JSON document on stdout and nothing else'
complete -c agentctl -n "__fish_agentctl_using_subcommand hibernate" -l utc -d 'Show times in UTC only'
complete -c agentctl -n "__fish_agentctl_using_subcommand hibernate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c agentctl -n "__fish_agentctl_using_subcommand stop" -l socket -d 'Ask the agent at this socket instead of `AGENTD_SOCKET` or /run/agentd/agentd.sock' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand stop" -l color -d 'When to colour; `NO_COLOR` and TERM=dumb are respected' -r -f -a "auto\t'On a terminal'
always\t'Also into files and pipes'
never\t'Not at all'"
complete -c agentctl -n "__fish_agentctl_using_subcommand stop" -l dry-run -d 'Only say whether it would be done'
complete -c agentctl -n "__fish_agentctl_using_subcommand stop" -s y -l yes -d 'Do not ask; needed where there is no terminal to ask at'
complete -c agentctl -n "__fish_agentctl_using_subcommand stop" -l json -d 'Print one JSON document on stdout and nothing else'
complete -c agentctl -n "__fish_agentctl_using_subcommand stop" -l utc -d 'Show times in UTC only'
complete -c agentctl -n "__fish_agentctl_using_subcommand stop" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c agentctl -n "__fish_agentctl_using_subcommand spot; and not __fish_seen_subcommand_from drill help" -l socket -d 'Ask the agent at this socket instead of `AGENTD_SOCKET` or /run/agentd/agentd.sock' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand spot; and not __fish_seen_subcommand_from drill help" -l color -d 'When to colour; `NO_COLOR` and TERM=dumb are respected' -r -f -a "auto\t'On a terminal'
always\t'Also into files and pipes'
never\t'Not at all'"
complete -c agentctl -n "__fish_agentctl_using_subcommand spot; and not __fish_seen_subcommand_from drill help" -l json -d 'Print one JSON document on stdout and nothing else'
complete -c agentctl -n "__fish_agentctl_using_subcommand spot; and not __fish_seen_subcommand_from drill help" -l utc -d 'Show times in UTC only'
complete -c agentctl -n "__fish_agentctl_using_subcommand spot; and not __fish_seen_subcommand_from drill help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c agentctl -n "__fish_agentctl_using_subcommand spot; and not __fish_seen_subcommand_from drill help" -f -a "drill" -d 'Go through an interruption without one: the hooks run for real (administrators)'
complete -c agentctl -n "__fish_agentctl_using_subcommand spot; and not __fish_seen_subcommand_from drill help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c agentctl -n "__fish_agentctl_using_subcommand spot; and __fish_seen_subcommand_from drill" -l action -d 'As if EC2 did this' -r -f -a "terminate\t'The instance is terminated'
stop\t'It is stopped'
hibernate\t'It is hibernated at once: only the fast hooks run'"
complete -c agentctl -n "__fish_agentctl_using_subcommand spot; and __fish_seen_subcommand_from drill" -l in -d 'As if it did it in this time: 5s to 1h' -r
complete -c agentctl -n "__fish_agentctl_using_subcommand spot; and __fish_seen_subcommand_from drill" -l socket -d 'Ask the agent at this socket instead of `AGENTD_SOCKET` or /run/agentd/agentd.sock' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand spot; and __fish_seen_subcommand_from drill" -l color -d 'When to colour; `NO_COLOR` and TERM=dumb are respected' -r -f -a "auto\t'On a terminal'
always\t'Also into files and pipes'
never\t'Not at all'"
complete -c agentctl -n "__fish_agentctl_using_subcommand spot; and __fish_seen_subcommand_from drill" -s y -l yes -d 'Do not ask; needed where there is no terminal to ask at'
complete -c agentctl -n "__fish_agentctl_using_subcommand spot; and __fish_seen_subcommand_from drill" -l no-wait -d 'Do not wait for the end of the hooks'
complete -c agentctl -n "__fish_agentctl_using_subcommand spot; and __fish_seen_subcommand_from drill" -l json -d 'Print one JSON document on stdout and nothing else'
complete -c agentctl -n "__fish_agentctl_using_subcommand spot; and __fish_seen_subcommand_from drill" -l utc -d 'Show times in UTC only'
complete -c agentctl -n "__fish_agentctl_using_subcommand spot; and __fish_seen_subcommand_from drill" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c agentctl -n "__fish_agentctl_using_subcommand spot; and __fish_seen_subcommand_from help" -f -a "drill" -d 'Go through an interruption without one: the hooks run for real (administrators)'
complete -c agentctl -n "__fish_agentctl_using_subcommand spot; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c agentctl -n "__fish_agentctl_using_subcommand doctor" -l socket -d 'Ask the agent at this socket instead of `AGENTD_SOCKET` or /run/agentd/agentd.sock' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand doctor" -l color -d 'When to colour; `NO_COLOR` and TERM=dumb are respected' -r -f -a "auto\t'On a terminal'
always\t'Also into files and pipes'
never\t'Not at all'"
complete -c agentctl -n "__fish_agentctl_using_subcommand doctor" -l json -d 'Print one JSON document on stdout and nothing else'
complete -c agentctl -n "__fish_agentctl_using_subcommand doctor" -l utc -d 'Show times in UTC only'
complete -c agentctl -n "__fish_agentctl_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c agentctl -n "__fish_agentctl_using_subcommand completions" -l socket -d 'Ask the agent at this socket instead of `AGENTD_SOCKET` or /run/agentd/agentd.sock' -r -F
complete -c agentctl -n "__fish_agentctl_using_subcommand completions" -l color -d 'When to colour; `NO_COLOR` and TERM=dumb are respected' -r -f -a "auto\t'On a terminal'
always\t'Also into files and pipes'
never\t'Not at all'"
complete -c agentctl -n "__fish_agentctl_using_subcommand completions" -l json -d 'Print one JSON document on stdout and nothing else'
complete -c agentctl -n "__fish_agentctl_using_subcommand completions" -l utc -d 'Show times in UTC only'
complete -c agentctl -n "__fish_agentctl_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c agentctl -n "__fish_agentctl_using_subcommand help; and not __fish_seen_subcommand_from status why watch hold release run events config simulate hibernate stop spot doctor completions help" -f -a "status" -d 'Show what will happen and when, because of what, and how to prevent it'
complete -c agentctl -n "__fish_agentctl_using_subcommand help; and not __fish_seen_subcommand_from status why watch hold release run events config simulate hibernate stop spot doctor completions help" -f -a "why" -d 'Show every piece of evidence, also what is ignored'
complete -c agentctl -n "__fish_agentctl_using_subcommand help; and not __fish_seen_subcommand_from status why watch hold release run events config simulate hibernate stop spot doctor completions help" -f -a "watch" -d 'Show the status, drawn again every second'
complete -c agentctl -n "__fish_agentctl_using_subcommand help; and not __fish_seen_subcommand_from status why watch hold release run events config simulate hibernate stop spot doctor completions help" -f -a "hold" -d 'Keep the machine up for a while'
complete -c agentctl -n "__fish_agentctl_using_subcommand help; and not __fish_seen_subcommand_from status why watch hold release run events config simulate hibernate stop spot doctor completions help" -f -a "release" -d 'End a hold, or all of yours'
complete -c agentctl -n "__fish_agentctl_using_subcommand help; and not __fish_seen_subcommand_from status why watch hold release run events config simulate hibernate stop spot doctor completions help" -f -a "run" -d 'Keep the machine up while a command runs'
complete -c agentctl -n "__fish_agentctl_using_subcommand help; and not __fish_seen_subcommand_from status why watch hold release run events config simulate hibernate stop spot doctor completions help" -f -a "events" -d 'Show what happened'
complete -c agentctl -n "__fish_agentctl_using_subcommand help; and not __fish_seen_subcommand_from status why watch hold release run events config simulate hibernate stop spot doctor completions help" -f -a "config" -d 'Check, show or explain the configuration'
complete -c agentctl -n "__fish_agentctl_using_subcommand help; and not __fish_seen_subcommand_from status why watch hold release run events config simulate hibernate stop spot doctor completions help" -f -a "simulate" -d 'Replay what was recorded under another configuration: what would have happened, and what it would have saved'
complete -c agentctl -n "__fish_agentctl_using_subcommand help; and not __fish_seen_subcommand_from status why watch hold release run events config simulate hibernate stop spot doctor completions help" -f -a "hibernate" -d 'Hibernate this instance now, through every gate (administrators)'
complete -c agentctl -n "__fish_agentctl_using_subcommand help; and not __fish_seen_subcommand_from status why watch hold release run events config simulate hibernate stop spot doctor completions help" -f -a "stop" -d 'Stop this instance now, through every gate (administrators)'
complete -c agentctl -n "__fish_agentctl_using_subcommand help; and not __fish_seen_subcommand_from status why watch hold release run events config simulate hibernate stop spot doctor completions help" -f -a "spot" -d 'Show whether EC2 announces an interruption, whether it would be seen, and what is done then'
complete -c agentctl -n "__fish_agentctl_using_subcommand help; and not __fish_seen_subcommand_from status why watch hold release run events config simulate hibernate stop spot doctor completions help" -f -a "doctor" -d 'Check whether the agent has what it needs: metadata, credentials, permissions, sources, clock'
complete -c agentctl -n "__fish_agentctl_using_subcommand help; and not __fish_seen_subcommand_from status why watch hold release run events config simulate hibernate stop spot doctor completions help" -f -a "completions" -d 'Print a completion script for a shell'
complete -c agentctl -n "__fish_agentctl_using_subcommand help; and not __fish_seen_subcommand_from status why watch hold release run events config simulate hibernate stop spot doctor completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c agentctl -n "__fish_agentctl_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "check" -d 'Say what is wrong with the configuration, with file and line'
complete -c agentctl -n "__fish_agentctl_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Show every value in force and where it comes from'
complete -c agentctl -n "__fish_agentctl_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "explain" -d 'Explain one key: what it does, its type, its default, its value'
complete -c agentctl -n "__fish_agentctl_using_subcommand help; and __fish_seen_subcommand_from spot" -f -a "drill" -d 'Go through an interruption without one: the hooks run for real (administrators)'
