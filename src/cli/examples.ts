import type { Command } from 'commander'

/** One line to type, and what it does. */
type Example = readonly [line: string, does: string]

/** Shown at the end of `--help`, by the path of the command. */
export const EXAMPLES: { readonly [path: string]: readonly Example[] } = {
  '': [
    ['tidemark up', 'a first look: cloud, file and second device on this machine'],
    ['tidemark config set endpoint https://cloud.example', 'turn sync on'],
    ['tidemark attach notes.db', 'put a file under sync'],
    ['tidemark sync status', 'see how everything stands'],
  ],
  up: [
    ['tidemark up', 'with real sample data'],
    ['tidemark up --file notes.db', 'with a file of your own'],
  ],
  attach: [
    ['tidemark attach notes.db', 'all its tables, into the space notes'],
    ['tidemark attach notes.db --space home --tables notes,tags', 'only these, into another'],
  ],
  detach: [['tidemark detach notes.db', 'as it was before attach']],
  migrate: [['tidemark migrate app.db', 'before an application syncs it through the library']],
  clone: [['tidemark clone notes ./notes.db', 'the space notes as a new file here']],
  daemon: [
    ['tidemark daemon', 'in the foreground, until Ctrl-C'],
    ['tidemark daemon start', 'in the background'],
  ],
  'daemon install': [['tidemark daemon install', 'at each login']],
  'daemon uninstall': [['tidemark daemon uninstall', 'as it was before']],
  'daemon start': [['tidemark daemon start', 'again it says that it runs already']],
  'daemon stop': [['tidemark daemon stop', 'a push under way is finished first']],
  'daemon restart': [['tidemark daemon restart', 'after an update']],
  'daemon status': [['tidemark daemon status', 'process, address, log']],
  'daemon logs': [
    ['tidemark daemon logs -n 100', 'the last hundred lines'],
    ['tidemark daemon logs -f', 'as they come'],
  ],
  run: [['tidemark run notes.db', 'this file only, until Ctrl-C']],
  query: [
    ['tidemark query "SELECT id, title FROM sessions"', 'of the agents on this machine'],
    ['tidemark query --file notes.db --csv "SELECT * FROM notes"', 'of another file, for a spreadsheet'],
  ],
  cloud: [
    ['tidemark cloud --data ./cloud', 'serve a folder on http://127.0.0.1:7600'],
    [
      'tidemark cloud --data ./cloud --host 0.0.0.0 --tls-key key.pem --tls-cert cert.pem',
      'to other machines',
    ],
  ],
  'cloud token create': [
    ['tidemark cloud token create --data ./cloud --name laptop', 'a token for all spaces of the account'],
  ],
  'cloud token list': [['tidemark cloud token list --data ./cloud', 'who may come in']],
  'cloud token revoke': [['tidemark cloud token revoke ID --data ./cloud', 'an id of the list']],
  'cloud check': [['tidemark cloud check --data ./cloud', 'before it is served']],
  'cloud begin-generation': [['tidemark cloud begin-generation', 'after the database was put back']],
  'cloud views': [['tidemark cloud views --refresh', 'make those that are missing']],
  'cloud audit': [['tidemark cloud audit --data ./cloud --limit 20', 'the newest 20 changes']],
  'cloud spaces': [['tidemark cloud spaces --data ./cloud', 'spaces with their rows']],
  'cloud export': [
    ['tidemark cloud export notes.zst --space notes --data ./cloud', 'while it goes on serving'],
  ],
  'cloud import': [['tidemark cloud import notes.zst --space notes --data ./other', 'into another cloud']],
  'sync status': [
    ['tidemark sync status', 'of all files'],
    ['tidemark sync status --json', 'for programs'],
  ],
  'sync now': [['tidemark sync now notes.db', 'this file, without waiting for the interval']],
  'sync pending': [['tidemark sync pending --verbose', 'with the keys of what waits']],
  'sync reset': [
    ['tidemark sync reset notes.db', 'compare everything once more'],
    ['tidemark sync reset notes.db --overwrite', 'after a restore: the rows of this file win'],
  ],
  'config set': [
    ['tidemark config set endpoint https://cloud.example', 'turns sync on'],
    ['tidemark config set sync_enabled false', 'turns it off and keeps the endpoint'],
    ['tidemark config set token - < token.txt', 'no other program sees it'],
  ],
  'config get': [['tidemark config get endpoint --origin', 'and where the value comes from']],
  'config list': [['tidemark config list', 'all settings with their origins']],
  'config unset': [['tidemark config unset endpoint', 'turns sync off']],
  'config profiles list': [['tidemark config profiles list', 'and which is in use']],
  'config profiles use': [['tidemark config profiles use work', 'where no --profile is given']],
  'config profiles add': [
    ['tidemark config profiles add work', 'with nothing set in it'],
    ['tidemark config profiles add test --copy work', 'with its settings, not its token'],
  ],
  'config profiles remove': [['tidemark config profiles remove test', 'asks first']],
  'conflicts list': [['tidemark conflicts list notes.db', 'of one file']],
  'conflicts show': [['tidemark conflicts show ID', 'both values']],
  'conflicts resolve': [['tidemark conflicts resolve ID remote', 'take the value of the others']],
  'conflicts undo': [['tidemark conflicts undo ID', 'put back what lost']],
  'conflicts dismiss': [['tidemark conflicts dismiss ID', 'leave it as it is']],
  'quarantine list': [['tidemark quarantine list', 'what the cloud refused, and why']],
  'quarantine show': [['tidemark quarantine show ID', 'one of them']],
  'quarantine retry': [['tidemark quarantine retry ID', 'after the reason is gone']],
  'quarantine drop': [['tidemark quarantine drop ID', 'give the change up']],
  search: [
    ['tidemark search flaky test', 'both words, newest first'],
    ["tidemark search 'migrat*' --kind tool_call", 'any end of a word, in tool calls'],
  ],
  'sessions list': [['tidemark sessions list --source claude-code', 'of one program']],
  'sessions show': [['tidemark sessions show ID', 'an id of the list']],
  'sessions archive': [['tidemark sessions archive ID', 'it keeps all it has']],
  'sessions unarchive': [['tidemark sessions unarchive ID', 'an id of sessions list --archived']],
  'approvals list': [['tidemark approvals list --status pending', 'what waits for you']],
  'approvals show': [['tidemark approvals show ID --context', 'all there is to decide by']],
  'approvals approve': [
    ['tidemark approvals approve ID', 'as it was asked for'],
    [`tidemark approvals approve ID --input '{"command":"npm test"}'`, 'this instead'],
  ],
  'approvals deny': [["tidemark approvals deny ID --comment 'not on main'", 'the comment is sent']],
  'approvals cancel': [['tidemark approvals cancel ID', 'by who asked']],
  'approvals request': [
    [`tidemark approvals request Bash --input '{"command":"make"}' && make`, 'only if approved'],
  ],
  'rules list': [['tidemark rules list', 'with their ids']],
  'rules add': [
    ["tidemark rules add allow Bash --command 'npm test'", 'exactly this'],
    ["tidemark rules add allow Bash --command-prefix 'git status'", 'with any options'],
    ['tidemark rules add deny Read --path /etc/', 'what lies in a folder'],
  ],
  'rules remove': [['tidemark rules remove ID', 'an id of the list']],
  audit: [['tidemark audit --limit 10', 'the newest ten']],
  doctor: [['tidemark doctor', 'when something seems wrong']],
  completion: [
    ['source <(tidemark completion bash)', 'in ~/.bashrc'],
    ['tidemark completion zsh > ~/.zfunc/_tidemark', 'a folder of $fpath'],
    ['tidemark completion fish > ~/.config/fish/completions/tidemark.fish', 'for every new shell'],
  ],
  'devices list': [['tidemark devices list', 'all devices of the account']],
  'devices register': [['tidemark devices register --name Kitchen', 'this machine, under a name']],
  'devices rename': [['tidemark devices rename ID Kitchen', 'an id of the list']],
  'devices remove': [['tidemark devices remove ID', 'a lost device: its token stops at once']],
  whoami: [['tidemark whoami', 'profile, cloud and device of this machine']],
  logout: [['tidemark logout', 'forget the token of this profile']],
}

/** Adds the examples to the help of each command. */
export function addExamples(program: Command): void {
  const visit = (command: Command, path: string): void => {
    const examples = EXAMPLES[path]
    if (examples !== undefined) command.addHelpText('after', showExamples(examples))
    for (const child of command.commands) visit(child, path === '' ? child.name() : `${path} ${child.name()}`)
  }
  visit(program, '')
}

/** The line, and what it does below it where both would be wider than 80 columns. */
function showExamples(examples: readonly Example[]): string {
  const width = Math.max(...examples.map(([line]) => line.length))
  const lines = examples.map(([line, does]) =>
    examples.every(([, other]) => width + other.length + 4 <= 80)
      ? `  ${line.padEnd(width)}  ${does}`
      : `  ${line}\n      ${does}`,
  )
  return ['', examples.length === 1 ? 'Example:' : 'Examples:', ...lines].join('\n')
}
