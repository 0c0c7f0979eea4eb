import { mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, it } from 'vitest'

import type { RuleInput } from '../../../protocol/approvals.ts'
import { requireUsableRule } from './refusals.ts'

const of = (action: RuleInput['action'], more: Partial<RuleInput>): RuleInput => ({
  action,
  tool_name: 'Bash',
  ...more,
})

it.each([
  ...['npm test', 'git status', 'env', 'make -j4', './run.sh', '/usr/bin/true', 'bash x.sh'].map((command) =>
    of('allow', { command }),
  ),
  ...['npm', 'git status', 'sudo systemctl status', 'bash build.sh', 'python3 -m pytest'].map(
    (command_prefix) => of('allow', { command_prefix }),
  ),
  ...['curl', 'rm -rf', 'a | b', '$(x)', ' x ', "'x'"].map((command_prefix) =>
    of('deny', { command_prefix }),
  ),

  of('ask', { command: 'x; y' }),
  of('allow', {}),
  of('deny', {}),
  of('allow', { tool_name: 'mcp__a__b' }),

  of('deny', { path: '/' }),
  of('allow', { path: '/nowhere/yet/' }),
  of('ask', { path: "/it's/" }),
  of('allow', { path: '/etc/passwd' }),
])('takes %j', async (rule) => {
  await requireUsableRule(rule)
})

it.each([
  ...[
    'a; b',
    'a && b',
    'a | b',
    'a > b',
    '$(a)',
    '`a`',
    'a\nb',
    ' a',
    'a ',
    'a  b',
    "'a'",
    'a*',
    '~/a',
    'A=b c',
    'é',
    '-a',
    'a =b',
    'a\u00a0b',
    '',
    '#',
  ].flatMap((text) => [of('allow', { command: text }), of('allow', { command_prefix: text })]),
  ...['eval', 'eval x', '. x', 'source x', 'exec x', 'alias x', 'time x', 'command x'].map((text) =>
    of('allow', { command_prefix: text }),
  ),
  ...['sh', 'bash', '/bin/bash', 'env', '/usr/bin/env', 'sudo', 'xargs', 'ssh', 'timeout', 'pwsh.exe'].map(
    (text) => of('allow', { command_prefix: text }),
  ),
  of('deny', { command: '  ' }),
  of('ask', { command_prefix: '\n\t\u00a0' }),

  of('deny', { tool_name: ' Bash' }),
  of('allow', { tool_name: 'Bash\n' }),
  of('allow', { tool_name: 'Ba\u200bsh' }),
  of('ask', { tool_name: ' ' }),
  of('deny', { command: 'x', path: '/x' }),
  of('allow', { command: 'x', command_prefix: 'x' }),
  ...['x', './x', '../x', '~/x', '/a/../b', '/a/./b', '//a', '/a//b', '/a/..', 'C:\\x', ''].flatMap(
    (path) => [of('allow', { path }), of('deny', { path })],
  ),
  ...['/a*', '/a ', '/a.', '/a\u200b', '/', '/$a'].map((path) => of('allow', { path })),
])('refuses %j', async (rule) => {
  await expect(requireUsableRule(rule)).rejects.toMatchObject({ code: 'unprocessable' })
})

it('refuses paths behind a link, which could be turned elsewhere', async () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'tidemark-rule-')))
  try {
    symlinkSync('/etc', join(folder, 'link'))
    for (const path of [`${folder}/link`, `${folder}/link/`, `${folder}/link/x`])
      for (const action of ['allow', 'deny'] as const)
        await expect(requireUsableRule(of(action, { path }))).rejects.toMatchObject({
          code: 'unprocessable',
          details: { field: 'path' },
        })
  } finally {
    rmSync(folder, { recursive: true })
  }
})
