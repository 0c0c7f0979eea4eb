import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A shell that has read the script of `tidemark completion`. */
export interface Shell extends Disposable {
  /** What it offers at the end of a line, in the folder of the shell. */
  complete(line: string): readonly string[]
}

export const hasShell = (name: string): boolean => spawnSync(name, ['-c', 'exit 0']).status === 0

// Completion has only an interactive shell; what it would show is told by the function it shows with.
const ZSH = String.raw`
zmodload zsh/zpty
zpty z zsh -f -i
until_line() { while zpty -r z out; do [[ $out == *$1* ]] && break; print -r -- "$out"; done }
cat >setup <<'END'
PS1=; PS2=; RPS1=; fpath=($PWD/functions $fpath); autoload -Uz compinit; compinit -u -D
compadd() {
  if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return; fi
  local -a found; builtin compadd -A found "$@"; print -l -- $found >>offered; builtin compadd "$@"
}
finish() { print OFF""ERED }
offer() { comppostfuncs=(finish); zle list-choices }
zle -N offer; bindkey '^I' offer
print RE""ADY
END
zpty -w z '. ./setup'
until_line READY >/dev/null
zpty -w -n z "$1"$'\t'
until_line OFFERED >/dev/null
cat offered
`

/** How each shell is made to tell what it would offer. */
const ASK: { readonly [shell: string]: (line: string, cwd: string) => string } = {
  bash: (line, cwd) => {
    const words = line.split(' ')
    const script = `source ./script; COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _tidemark; printf '%s\n' "\${COMPREPLY[@]}"`
    return execFileSync('bash', ['--norc', '-c', script], { cwd, encoding: 'utf8' })
  },
  zsh: (line, cwd) =>
    execFileSync('zsh', ['-f', '-c', ZSH, 'zsh', line], { cwd, encoding: 'utf8', timeout: 30_000 }),
  fish: (line, cwd) =>
    execFileSync('fish', ['--no-config', '-c', 'source ./script; complete -C $argv[1]', line], {
      cwd,
      encoding: 'utf8',
    }),
}

export function openShell(name: string, script: string): Shell {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-shell-'))
  writeFileSync(join(folder, 'script'), script)
  mkdirSync(join(folder, 'functions'))
  writeFileSync(join(folder, 'functions', '_tidemark'), script)
  writeFileSync(join(folder, 'notes.db'), '')
  return {
    complete(line) {
      const text = ASK[name]?.(line, folder) ?? ''
      // oxlint-disable-next-line no-control-regex -- what a terminal is told beside the text
      const plain = text.replace(/\u001b\[[0-9;?]*[A-Za-z]/g, '')
      return plain.split(/[\s\r]+/).filter((word) => word !== '')
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  }
}

/** What every shell is to offer. */
export const OFFERED: readonly (readonly [line: string, has: readonly string[], lacks: readonly string[]])[] =
  [
    ['tidemark ', ['attach', 'sync', 'config'], ['pending']],
    ['tidemark sync ', ['status', 'now', 'pending', 'reset'], ['attach']],
    ['tidemark --json sync ', ['status', 'now'], ['attach']],
    ['tidemark --home /tmp sync ', ['status', 'now'], ['attach']],
    ['tidemark attach --', ['--space', '--json', '--help'], ['--rejoin']],
    ['tidemark config set ', ['endpoint', 'token'], ['list']],
    ['tidemark cloud --log-level ', ['debug', 'silent'], ['check']],
    ['tidemark attach no', ['notes.db'], ['sync']],
  ]
