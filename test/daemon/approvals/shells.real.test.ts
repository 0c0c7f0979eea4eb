import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { evaluateRules } from '../../../src/daemon/approvals/rules/evaluate.ts'
import type { Rule } from '../../../src/protocol/approvals.ts'
import { COMMANDS } from './commands.ts'

/**
 * D4 against real shells: in a folder of its own, with a PATH that has one program, which writes down its words, what
 * an allow rule lets through starts that program once, with these words and no others, and leaves nothing else behind.
 */
const folder = mkdtempSync(join(tmpdir(), 'tidemark-shells-'))
const bin = join(folder, 'bin')
const work = join(folder, 'work')
const record = join(folder, 'record')
const SHELLS = ['/bin/sh', '/bin/bash', '/bin/zsh', '/bin/ksh'].filter((shell) => existsSync(shell))

beforeAll(() => {
  for (const path of [bin, work]) spawnSync('mkdir', [path])
  for (const name of ['npm', 'git', 'ls', 'curl', 'evil']) {
    // Each start is a line with its words, which have no blanks in them.
    writeFileSync(
      join(bin, name),
      `#!/bin/sh\nprintf '%s' "\${0##*/}" >>"${record}"\nfor w; do printf '|%s' "$w" >>"${record}"; done\necho >>"${record}"\n`,
    )
    chmodSync(join(bin, name), 0o755)
  }
})
afterAll(() => rmSync(folder, { recursive: true }))

const rule = (pattern: Partial<Rule>): Rule => ({
  id: 'r',
  action: 'allow',
  tool_name: 'Bash',
  note: null,
  created_at: 0,
  ...pattern,
})
const RULES = [rule({ command_prefix: 'npm test' }), rule({ command: 'git status' })]
const isAllowed = (command: string): boolean =>
  evaluateRules(RULES, { tool_name: 'Bash', tool_input: { command }, named: [], places: () => null })
    .action === 'allow'

function run(shell: string, command: string): { readonly started: readonly string[]; readonly said: string } {
  rmSync(record, { force: true })
  const { stdout, stderr } = spawnSync(shell, ['-c', command], {
    cwd: work,
    env: { PATH: bin, HOME: '/home-that-is-not' },
    encoding: 'utf8',
    timeout: 30_000,
  })
  const lines = existsSync(record) ? readFileSync(record, 'utf8').trimEnd().split('\n') : []
  return { started: lines, said: stdout + stderr }
}

function expectOneProcess(command: string): void {
  for (const shell of SHELLS) {
    expect(run(shell, command)).toEqual({ started: [command.replaceAll(' ', '|')], said: '' })
    expect(readdirSync(work)).toEqual([])
  }
}

const NASTY = [
  ' ',
  ' ',
  ' ',
  '  ',
  ';',
  '&',
  '&&',
  '||',
  '|',
  '>',
  '<',
  '$',
  '$(',
  ')',
  '`',
  '\n',
  '\r',
  '	',
  '\\',
  '"',
  "'",
  '*',
  '?',
  '[',
  ']',
  '~',
  '#',
  '!',
  '{',
  '}',
  ',',
  '=',
  '^',
  '%',
  '-',
  '--',
  '.',
  '..',
  '/',
  ':',
  '@',
  '+',
  '_',
  'a',
  'B',
  '7',
  'evil',
  'curl',
  'x=1',
  'é',
  '\xA0',
  '​',
  '/dev/null',
  'npm',
  'test',
  'http://a.b/c',
  'f.ts',
]
const PLAIN = 'a B 7 - -- . .. / : @ + , _ evil curl x=1 a=b http://a.b/c f.ts --watch=false @s/p'.split(' ')

describe.each(SHELLS)('D4: %s', (shell) => {
  it('has the programs of the test and no others', () => {
    expect(run(shell, 'npm a; git b').started).toEqual(['npm|a', 'git|b'])
    expect(run(shell, 'npm $(evil x)').started).toContain('evil|x')
  })
})

describe('D4: what an allow rule matches starts one process, with exactly its words', () => {
  it('of plain words', () => {
    const words = fc.array(fc.array(fc.constantFrom(...PLAIN), { minLength: 1, maxLength: 3 }), {
      maxLength: 5,
    })
    fc.assert(
      fc.property(words, (ends) => {
        const command = ['npm test', ...ends.map((pieces) => pieces.join(''))].join(' ')
        fc.pre(isAllowed(command))
        expectOneProcess(command)
      }),
      { numRuns: 150 },
    )
  })

  it('of anything that passes', () => {
    let passed = 0
    const end = fc.array(fc.constantFrom(...NASTY), { maxLength: 4 })
    fc.assert(
      fc.property(end, fc.constantFrom('npm test', 'npm test ', 'git status'), (pieces, begin) => {
        const command = begin + pieces.join('')
        if (!isAllowed(command)) return
        passed++
        expectOneProcess(command)
      }),
      { numRuns: 1_500 },
    )
    expect(passed).toBeGreaterThan(50)
  })

  it('of every character, in front, within and behind', () => {
    for (let code = 1; code < 0x180; code++) {
      const char = String.fromCharCode(code)
      for (const command of [
        `npm test a${char}b`,
        `npm test ${char}`,
        `npm test${char}`,
        `${char}npm test`,
        `npm test ${char}b`,
      ])
        if (isAllowed(command)) expectOneProcess(command)
    }
  })

  it('of the table', () => {
    for (const [command, expected] of COMMANDS)
      if (expected === 'allow' && isAllowed(command)) expectOneProcess(command)
  })
})
