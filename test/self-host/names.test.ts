import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { Command } from 'commander'
import { expect, test } from 'vitest'

import { defineCloud } from '../../src/cli/define-cloud.ts'
import { CLOUD_VARIABLES, DATABASE_VARIABLE } from '../../src/cli/option-variables.ts'
import { COUNTERS, GAUGES, HISTOGRAMS } from '../../src/cloud/metrics.ts'
import { MAX_WAIT_S } from '../../src/protocol/limits.ts'
import { EXAMPLE, readExample } from './example.ts'

const COPIED = readdirSync(EXAMPLE, { recursive: true, withFileTypes: true })
  .filter((file) => file.isFile() && !file.parentPath.endsWith('secrets') && !file.name.endsWith('.tgz'))
  .map((file) => join(file.parentPath, file.name))
const FILES = [join(EXAMPLE, '../../docs/guides/self-hosting.md'), ...COPIED]
/** Of every command. */
const GENERAL = ['--json', '--home', '--quiet', '--profile']

const cloud = ((): Command => {
  const program = new Command()
  const define = (parent: Command, usage: string, about: string): Command =>
    parent.command(usage).description(about)
  defineCloud({ program, env: {}, define, run: () => async () => {}, endWith: () => {} })
  const [command] = program.commands
  if (command === undefined) throw new Error('there is no command')
  return command
})()

const optionsOf = ({ options }: Command): readonly string[] => options.map(({ long }) => long ?? '')

/** What of a `tidemark cloud …` the program does not know. */
function findUnknown(text: string): readonly string[] {
  const words = text.trim().split(/\s+/)
  const known = [...GENERAL, ...optionsOf(cloud)]
  let command = cloud
  for (const word of words) {
    const next = command.commands.find((one) => one.name() === word)
    if (next === undefined) continue
    command = next
    known.push(...optionsOf(next))
  }
  if (command !== cloud && command.commands.length > 0) return [`${text}: an unfinished command`]
  return words
    .filter((word) => word.startsWith('--'))
    .map((word) => word.replace(/=.*/s, ''))
    .filter((word) => !known.includes(word))
}

test.each(FILES)('%s names only commands, options, variables and metrics that exist', (file) => {
  // A command goes on in the next line after a backslash, and ends with its line or its piece of code.
  const text = readFileSync(file, 'utf8').replaceAll(/\\\n/g, ' ')
  for (const [, rest = ''] of text.matchAll(/\btidemark cloud\b([^\n`|;&"]*)/g))
    expect(findUnknown(rest), rest).toEqual([])
  const variables = optionsOf(cloud).map(
    (option) => `${CLOUD_VARIABLES}_${option.slice(2).replaceAll('-', '_').toUpperCase()}`,
  )
  for (const [name] of text.matchAll(/\bTIDEMARK_CLOUD_\w+/g))
    expect([DATABASE_VARIABLE, ...variables]).toContain(name.replace(/_$/, ''))
  const series = [
    ...[...Object.values(COUNTERS), ...Object.values(GAUGES)].map(({ name }) => name),
    ...Object.values(HISTOGRAMS).flatMap(({ name }) => [
      name,
      ...['bucket', 'sum', 'count'].map((end) => `${name}_${end}`),
    ]),
  ]
  // A column of a table may be called so too.
  for (const [name] of text.matchAll(/\btidemark_[a-z_]+/g)) expect(series).toContain(name)
})

test('an option, a variable or a command that there is not is found', () => {
  expect(findUnknown(' --port 1 check --nodes 2 --json')).toEqual([])
  expect(findUnknown(' check --colour')).toEqual(['--colour'])
  expect(findUnknown(' --nodes 2')).toEqual(['--nodes'])
  expect(findUnknown(' token')).toEqual([' token: an unfinished command'])
})

test('nobody gives up on a poll before it ends, nor on a node that stops', () => {
  const seconds = (text: string, pattern: RegExp): number => Number(pattern.exec(text)?.[1])
  const balancer = readExample('haproxy.cfg')
  for (const end of ['client', 'server'])
    expect(seconds(balancer, new RegExp(`^ {2}timeout ${end} (\\d+)s$`, 'm'))).toBeGreaterThan(MAX_WAIT_S * 2)
  // The balancer looks each second and believes the second look.
  const compose = readExample('compose.yaml')
  const drain = seconds(compose, /TIDEMARK_CLOUD_DRAIN: '(\d+)'/)
  expect(drain).toBeGreaterThan(2)
  expect(seconds(compose, /stop_grace_period: (\d+)s/)).toBeGreaterThan(drain + 10)
  const unit = readExample('systemd/tidemark-cloud@.service')
  expect(seconds(unit, /^TimeoutStopSec=(\d+)$/m)).toBeGreaterThan(
    seconds(unit, /TIDEMARK_CLOUD_DRAIN=(\d+)$/m) + 10,
  )
})
