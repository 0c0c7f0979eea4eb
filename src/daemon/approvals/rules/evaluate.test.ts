import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import type { Rule } from '../../../protocol/approvals.ts'
import { COMMANDS } from '../../../../test/daemon/approvals/commands.ts'
import { evaluateRules, type Question, type Verdict } from './evaluate.ts'
import { isPlainCommand } from './plain-command.ts'

const rule = (id: string, action: Rule['action'], pattern: Partial<Rule> = {}): Rule => ({
  id,
  action,
  tool_name: 'Bash',
  note: null,
  created_at: 0,
  ...pattern,
})
const RULES = [
  rule('test', 'allow', { command: 'npm test' }),
  rule('lint', 'allow', { command_prefix: 'npm run lint' }),
  rule('status', 'allow', { command_prefix: 'git status' }),
  rule('echo', 'allow', { command_prefix: 'echo' }),
  rule('curl', 'deny', { command_prefix: 'curl' }),
  rule('rm', 'deny', { command_prefix: 'rm -rf' }),
  rule('halt', 'deny', { command: 'shutdown now' }),
  rule('push', 'ask', { command_prefix: 'git push' }),
]
const question = (tool_input: unknown, more: Partial<Question> = {}): Question => ({
  tool_name: 'Bash',
  tool_input,
  named: [],
  places: (path) => [path, path],
  ...more,
})
const decide = (tool_input: unknown, rules = RULES): Verdict['action'] =>
  evaluateRules(rules, question(tool_input)).action

describe('D4: commands', () => {
  it('has a table worth its name', () => {
    expect(new Set(COMMANDS.map(([command]) => command)).size).toBe(COMMANDS.length)
    expect(COMMANDS.length).toBeGreaterThanOrEqual(150)
  })

  it.each(COMMANDS.map(([command, expected]) => ({ command, shown: JSON.stringify(command), expected })))(
    '$shown is $expected',
    ({ command, expected }) => {
      expect(decide({ command })).toBe(expected)
    },
  )

  it('allows no command of the table that is more than words, whatever rule would name it', () => {
    for (const [command] of COMMANDS) {
      if (isPlainCommand(command)) continue
      const rules = [rule('a', 'allow', { command }), rule('b', 'allow', { command_prefix: command })]
      expect(decide({ command }, rules)).toBe('ask')
    }
  })

  it('allows nothing but the words of the rule and further plain words', () => {
    const piece = fc.constantFrom(
      ...'npm test run lint - -- ; & | $ ( ) ` \n \t \r \\ " \' * ? ~ # = < > é \u00a0 \u200b'.split(' '),
      ' ',
      '  ',
      '',
    )
    const allow = [rule('a', 'allow', { command_prefix: 'npm test' })]
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(piece).map((pieces) => pieces.join('')),
        ),
        (end) => {
          const command = `npm test${end}`
          const expected = /^( [A-Za-z0-9_./:@+,-][A-Za-z0-9_./:@+,=-]*)*$/.test(end) ? 'allow' : 'ask'
          expect(decide({ command }, allow)).toBe(expected)
        },
      ),
      { numRuns: 2_000 },
    )
  })

  it('lets deny win over ask, and ask over allow, in whatever order they stand', () => {
    const actions = fc.shuffledSubarray(['allow', 'ask', 'deny'] as const)
    fc.assert(
      fc.property(actions, fc.constantFrom('command', 'command_prefix'), (order, kind) => {
        const rules = order.map((action) => rule(action, action, { [kind]: 'npm test' }))
        const expected = order.includes('deny')
          ? 'deny'
          : order.length === 1 && order[0] === 'allow'
            ? 'allow'
            : 'ask'
        expect(decide({ command: 'npm test' }, rules)).toBe(expected)
      }),
    )
  })

  it('denies what a rule denies wherever it stands in a longer line', () => {
    const around = fc.string().filter((text) => text.length < 100)
    const between = fc.constantFrom(
      ';',
      '&&',
      '||',
      '|',
      '\n',
      '$(',
      '`',
      '(',
      '{ ',
      '& ',
      '<(',
      "sh -c '",
      '"',
    )
    fc.assert(
      fc.property(around, between, between, around, (before, open, close, after) => {
        expect(decide({ command: `${before}${open} curl evil ${close}${after}` })).toBe('deny')
      }),
    )
  })

  it('names the rule that decided', () => {
    const by = (command: string) => evaluateRules(RULES, question({ command })).rule?.id
    expect([by('npm test'), by('curl x'), by('git push'), by('make')]).toEqual([
      'test',
      'curl',
      'push',
      undefined,
    ])
  })

  it('asks where a command is too long to be looked through', () => {
    const long = `echo ${'x'.repeat(70_000)}; curl evil`
    expect(decide({ command: long })).toBe('ask')
    const whole = rule('whole', 'allow')
    expect(decide({ text: long }, [whole])).toBe('allow')
    const deny = rule('d', 'deny', { command_prefix: 'curl' })
    for (const text of ['sudo '.repeat(13_000), Array.from({ length: 9_000 }, (_, n) => n).join(';')])
      expect(decide({ text: `${text} ; curl evil` }, [whole, deny])).toBe('ask')
    expect(decide({ text: long }, [whole, rule('d', 'deny', { command: 'x' })])).toBe('ask')
    expect(
      evaluateRules([whole, rule('d', 'deny', { path: '/x' })], question({}, { named: null })).action,
    ).toBe('ask')
  })
})

describe('D4: inputs', () => {
  const harmless = [
    { command: 'npm test', description: 'Runs; the | tests' },
    { command: 'npm test', timeout: 1_000, run_in_background: true },
  ]
  const harmful = [
    null,
    'npm test',
    ['npm test'],
    [{ command: 'npm test' }],
    {},
    7,
    true,
    { Command: 'npm test' },
    { cmd: 'npm test' },
    { 'command ': 'npm test' },
    { соmmand: 'npm test' },
    { command: ['npm test'] },
    { command: ['npm', 'test'] },
    { command: { command: 'npm test' } },

    { command: 'npm test', cwd: '/evil' },
    { command: 'npm test', env: { PATH: '/evil' } },

    { command: 'npm test', dangerouslyDisableSandbox: true },
    { command: 'npm test', args: ['x'] },

    { command: 'npm test', description: { command: 'x' } },
    { command: 'npm test', timeout: '1; ls' },

    { command: 'npm test', run_in_background: 'x' },
    { command: 'npm test', shell: '/evil' },
    { command: 'npm test', '': 1 },
    JSON.parse('{"command":"npm test","__proto__":{"cwd":"/evil"}}') as unknown,
    JSON.parse('{"__proto__":{"command":"npm test"}}') as unknown,
    JSON.parse('{"constructor":{"command":"npm test"}}') as unknown,
  ]
  it.each(harmless)('allows %j', (input) => expect(decide(input)).toBe('allow'))
  it.each(harmful.map((input) => [input]))('asks for %j', (input) => expect(decide(input)).toBe('ask'))

  it.each(
    [
      ['curl', 'evil'],
      [['curl evil']],
      { cmd: 'curl evil' },
      { a: { b: [{ c: 'x && curl evil' }] } },
      'curl evil',
      { command: ['sh', '-c', 'curl evil'] },
      { command: ['curl', 'evil'] },
      {
        command: 'ls',
        input: 'curl evil',
      },
    ].map((input) => [input]),
  )('denies %j', (input) => expect(decide(input)).toBe('deny'))

  it('does not look for commands in a description', () => {
    expect(decide({ command: 'npm test', description: 'curl evil' })).toBe('allow')
  })

  it.each(['bash', 'BASH', 'Bash ', ' Bash', 'Bаsh', 'Bash\0', 'Bash\u200b', ''])(
    'knows no tool %j',
    (tool_name) => {
      expect(evaluateRules(RULES, { ...question({ command: 'npm test' }), tool_name }).action).toBe('ask')
    },
  )

  const whole = [rule('all', 'allow')]
  it.each(
    [
      null,
      {},
      { query: 'x' },
      {
        file_path: '/a',
        limit: 3,
      },
      { description: 'x' },
      { a: [{ b: { c: 1 } }] },
      { language: 'en' },
      {
        todos: [
          {
            content: 'a',
            status: 'b',
            activeForm: 'c',
          },
        ],
      },
      {
        subagent_type: 'x',
        prompt: 'y',
      },
    ].map((input) => [input]),
  )('a rule for a whole tool allows %j', (input) => expect(decide(input, whole)).toBe('allow'))
  it.each(
    [
      'ls',
      ['ls'],
      7,
      { command: 'ls' },
      { Command: 1 },
      { CMD: 1 },
      { cmds: 1 },
      { subCommand: 1 },
      { com_mand: 1 },
      { script: 1 },
      { scripts: 1 },
      { setup_script: 1 },
      { scriptPath: 1 },
      { args: [] },
      { argv: [] },
      { extraArgs: 1 },
      { shell: 1 },
      { code: 1 },
      { source_code: 1 },
      { run: 1 },
      { exec: 1 },
      { executable: 1 },
      { eval: 1 },
      { program: 1 },
      { a: { b: [{ command: 'x' }] } },
      { соmmand: 1 },
      { 'command​': 1 },
      { '': 1 },
      { 'c m d': 1 },
      { stdin: 1 },
    ].map((input) => [input]),
  )('a rule for a whole tool asks for %j', (input) => expect(decide(input, whole)).toBe('ask'))
  it('a rule against a whole tool denies whatever it is called with', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (input) => decide(input, [...RULES, rule('no', 'deny')]) === 'deny'),
    )
  })
  it('judges any input without failing, and the same each time', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom('Bash', 'Read'), (input, tool_name) => {
        const once = evaluateRules(RULES, { ...question(input), tool_name })
        expect(evaluateRules(RULES, { ...question(input), tool_name })).toEqual(once)
        expect(once.action).not.toBe('allow')
      }),
    )
  })
  it('lets no rule with two patterns allow', () => {
    expect(decide({ command: 'npm test' }, [rule('x', 'allow', { command: 'npm test', path: '/x' })])).toBe(
      'ask',
    )
  })
})
