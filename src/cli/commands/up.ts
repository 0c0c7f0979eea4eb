import { existsSync, mkdirSync } from 'node:fs'
import { basename, extname, join, relative, resolve } from 'node:path'

import { startCloud, type Cloud } from '../../cloud/index.ts'
import { findAttachment } from '../../daemon/attachments.ts'
import { compareFiles, type TableDifference } from '../../daemon/compare.ts'
import { attachFile, cloneSpace, planAttach } from '../../daemon/attach.ts'
import { startDaemon } from '../../daemon/daemon.ts'
import type { HostingEvent } from '../../daemon/hosting/hosted-file.ts'
import { findDaemon } from '../../daemon/instance.ts'
import { openReplica } from '../../daemon/replica.ts'
import { systemClock } from '../../kernel/clock.ts'
import { readVersion } from '../version.ts'
import { runReplica, type RunningReplica } from '../../daemon/runner.ts'
import { AsyncDisposableStack } from '../../kernel/disposable-stack.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { SCOPES } from '../../protocol/routes.ts'
import { engineSettings, type Connection } from '../../daemon/connection.ts'
import type { CliContext } from '../context.ts'
import { countOf, formatCount } from '../progress.ts'
import { makeSample } from '../sample.ts'
import { STOP_MS, untilStopped } from '../stopping.ts'
import { createWaits } from '../waits.ts'
import { describePlan, spaceOfFile, syncWithProgress } from './attach.ts'
import { COMMAND_LINE } from './directory.ts'

export interface UpOptions {
  readonly sample?: boolean
  readonly file?: string
  readonly port: number
  readonly untilEqual?: boolean
  readonly yes?: boolean
}

/** Rounds of both files that `--until-equal` gives them. */
const MAX_ROUNDS = 50
/** Of those, in which nothing moved: rows that one file refuses are parked there for good. */
const MAX_IDLE_ROUNDS = 3

/**
 * tidemark up: a cloud with the embedded log on loopback, one file attached to it, a second replica of it, both
 * kept in step by a daemon of this home. A second start goes on where the first ended.
 */
export async function up(context: CliContext, home: string, options: UpOptions): Promise<void> {
  const { output, config, clock } = context
  await using stack = new AsyncDisposableStack()
  const cloud = await startLocalCloud(home, options.port)
  stack.defer(() => cloud.close())
  const connection = await connect(context, cloud)
  output.say(`${output.bold('Tidemark')} cloud at ${cloud.url}, data in ${shortPath(home)}`)

  const first = options.file === undefined ? join(home, 'laptop.db') : resolve(options.file)
  const second =
    options.file === undefined
      ? join(home, 'desktop.db')
      : join(home, `${basename(first, extname(first))}-copy.db`)
  const space = options.file === undefined ? 'sample' : spaceOfFile(first)
  if (options.file === undefined && !existsSync(first)) {
    const { rows } = makeSample(first)
    output.say(`Made ${shortPath(first)}: ${formatCount(rows)} rows of real data (countries, cities)`)
  }
  const shared = {
    ...context,
    ...engineSettings(config),
    connection,
    profile: config.profile,
    otherSpace: JOIN,
  }
  if (findAttachment(context.folders, first) === undefined) {
    const plan = planAttach(first, {})
    for (const line of describePlan(plan, space, connection)) output.say(line)
    const asks = options.file !== undefined && options.yes !== true
    if (asks && !(await context.confirm(`Put ${first} under sync?`))) throw new TidemarkError('not_confirmed')
    await attachFile({ ...shared, file: first, space, merge: false })
  }
  const laptop = stack.use(
    await runReplica(context.folders, () => openReplica({ ...shared, file: first }), first, clock, BORROW),
  )
  const upload = await syncWithProgress(context, laptop, `${basename(first)} → cloud`)
  if (findAttachment(context.folders, second) === undefined)
    await cloneSpace({ ...shared, space, file: second })
  const desktop = stack.use(
    await runReplica(context.folders, () => openReplica({ ...shared, file: second }), second, clock, BORROW),
  )
  const download = await syncWithProgress(context, desktop, `cloud → ${basename(second)}`)

  if (options.untilEqual === true) {
    const rows = await waitUntilEqual(context, laptop, desktop)
    output.result({ equal: true, rows, upload, download, url: cloud.url }, [
      `Equal: ${countOf(rows, 'row')} in ${shortPath(first)} and ${shortPath(second)}`,
    ])
    return
  }
  // From here on the daemon has them.
  for (const running of [laptop, desktop]) await running[Symbol.asyncDispose]()
  const api = await startLocalDaemon(context, stack)
  for (const line of nextSteps(home, first, second, { cloud: cloud.url, api }, options.file === undefined))
    output.say(line)
  if (output.json) output.result({ url: cloud.url, api, files: [first, second], upload, download }, [])
  await untilStopped(context.signal)
  output.say('Stopping …')
}

/** A daemon of this home lets go of the files while they are first exchanged. */
const BORROW = { borrow: true }

/** The address of the local API: of the daemon that begins here, or of one of this home that runs already. */
async function startLocalDaemon(context: CliContext, stack: AsyncDisposableStack): Promise<string | null> {
  const { folders, env, random, given } = context
  const running = await findDaemon(folders)
  if (running !== null) return running.url
  const daemon = await startDaemon({
    folders,
    env,
    profile: given.profile,
    clock: systemClock,
    random,
    version: readVersion(),
    logLevel: 'info',
    anyPort: true,
    otherSpace: JOIN,
    tell: (event) => tell(context, event),
  })
  stack.use(daemon)
  return daemon.note().url
}

/** It is the cloud of this folder alone: one that is new has lost what the files have. */
const JOIN = 'join' as const

/** The cloud shares its thread with both replicas here: a late event loop is their work, not an attack. */
const LIMITS = { loopDelayMs: 0, stopMs: STOP_MS }

async function startLocalCloud(home: string, port: number): Promise<Cloud> {
  const data = join(home, 'cloud')
  mkdirSync(data, { recursive: true, mode: 0o700 })
  try {
    return await startCloud({ data, host: '127.0.0.1', port, limits: LIMITS })
  } catch (error) {
    // Somebody else's port is no reason to stop; somebody else's data are.
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    return startCloud({ data, host: '127.0.0.1', port: 0, limits: LIMITS })
  }
}

/** The profile's own token for this cloud, made with the first start. */
async function connect(context: CliContext, cloud: Cloud): Promise<Connection> {
  const { config } = context
  const { url: endpoint, directory } = cloud
  if (config.read('endpoint').value !== endpoint) config.set('endpoint', endpoint)
  const known = config.read('token').value
  // A folder of the cloud that was thrown away took its tokens along.
  if (typeof known === 'string' && typeof (await directory.authenticate(known)) === 'object')
    return { endpoint, token: known }
  const { token } = await directory.createToken(
    { account: 'local', name: 'tidemark up', scopes: SCOPES, spaces: null, defaultSpace: 'default' },
    COMMAND_LINE,
  )
  config.set('token', token)
  return { endpoint, token }
}

async function waitUntilEqual(
  context: CliContext,
  one: RunningReplica,
  other: RunningReplica,
): Promise<number> {
  const waits = createWaits(context.output, 'Comparing')
  let idle = 0
  let differing: readonly TableDifference[] = []
  for (let round = 0; round < MAX_ROUNDS && idle < MAX_IDLE_ROUNDS; round++) {
    const results = [
      await one.syncNow({ signal: context.signal, patience: waits }),
      await other.syncNow({ signal: context.signal, patience: waits }),
    ]
    idle = results.every(({ pushed, pulled }) => pushed === 0 && pulled === 0) ? idle + 1 : 0
    const { tables } = await one.replica.store.schema()
    const differences = compareFiles(one.replica.file, other.replica.file, tables)
    differing = differences.filter((table) => table.differing > 0)
    if (differing.length === 0) return differences.reduce((sum, { rows }) => sum + rows, 0)
  }
  const names = differing.map((table) => `${table.table} (${countOf(table.differing, 'row')})`).join(', ')
  throw new TidemarkError('unprocessable', `The files are in step, but not equal: ${names}`, {
    details: { see: 'tidemark sync status, tidemark conflicts list' },
  })
}

function tell({ output }: CliContext, told: HostingEvent): void {
  if (told.type !== 'engine') return
  const { event } = told
  const name = basename(told.file)
  if (event.type === 'pushed') output.say(`  ${name}: ${formatCount(event.rows)} sent`)
  else if (event.type === 'applied') output.say(`  ${name}: ${formatCount(event.rows)} received`)
  else if (event.type === 'conflicts') output.say(`  ${name}: ${event.count} for the inbox`)
  else if (event.type === 'error') output.warn(`  ${name}: ${event.error.message}`)
}

function nextSteps(
  home: string,
  first: string,
  second: string,
  urls: { readonly cloud: string; readonly api: string | null },
  sample: boolean,
): readonly string[] {
  const tidemark = `npx tidemark --home ${shortPath(home)}`
  const change = sample ? `"UPDATE cities SET population = population + 1 WHERE name = 'Paris'"` : '"…"'
  const read = sample ? `"SELECT name, country, population FROM cities WHERE name = 'Paris'"` : '"…"'
  return [
    '',
    'Both files are in step and stay so. Try, in another terminal:',
    `  change one   sqlite3 ${shortPath(first)} ${change}`,
    `  see it       sqlite3 ${shortPath(second)} ${read}`,
    `  status       ${tidemark} sync status`,
    `  API page     ${urls.cloud}/`,
    ...(urls.api === null ? [] : [`  local API    ${urls.api}/`]),
    'Ctrl-C stops; the next start goes on from here.',
    '',
  ]
}

/** The path from here where it is shorter. */
function shortPath(path: string): string {
  const near = relative(process.cwd(), path)
  return near !== '' && near.length < path.length && !near.startsWith('..') ? near : path
}
