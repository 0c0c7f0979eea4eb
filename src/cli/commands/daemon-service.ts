import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { findDaemon, askToStop, type DaemonNote } from '../../daemon/instance.ts'
import { describeLogLine } from '../../daemon/log/log-line.ts'
import { logPath } from '../../daemon/log/daemon-log.ts'
import { readLastLines } from '../../daemon/log/read-log.ts'
import { startInBackground } from '../../daemon/service/background.ts'
import type { Launch } from '../../daemon/service/launch.ts'
import { findManager, type ServiceManager } from '../../daemon/service/manager.ts'
import { sleep } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { PLACE_VARIABLES, runFolder } from '../../machine/folders.ts'
import { SETTINGS } from '../../machine/settings.ts'
import { findProfile, findVariable } from '../../machine/variables.ts'
import type { CliContext } from '../context.ts'

/** How long a daemon may take to be ready, and to end, in milliseconds; how often it is asked. */
const READY_MS = 60_000
const END_MS = 45_000
const ASK_EVERY_MS = 100
/** Lines of the log that are shown where it did not start. */
const SHOWN_LINES = 10

const PROGRAM = fileURLToPath(new URL('../../../bin/tidemark.js', import.meta.url))

/** tidemark daemon install: it starts at login. */
export function installDaemon(context: CliContext): void {
  const manager = requireManager(context)
  manager.install(launchOf(context))
  const { output, env } = context
  output.result({ installed: true, manager: manager.kind, file: manager.file }, [
    `The daemon starts with your next login (${manager.kind}: ${manager.file}).`,
    manager.note,
    'Start it now: tidemark daemon start',
  ])
  const unseen = Object.values(SETTINGS).flatMap(
    ({ variables }) => findVariable(variables, env)?.variable ?? [],
  )
  if (unseen.length > 0)
    output.warn(
      `Note: the service does not see ${unseen.join(', ')} of this terminal: use tidemark config set.`,
    )
}

/** tidemark daemon uninstall: it starts at login no more, and ends where the service had started it. */
export function uninstallDaemon(context: CliContext): void {
  const manager = requireManager(context)
  const was = manager.isInstalled()
  if (was) manager.uninstall()
  context.output.result({ installed: false, manager: manager.kind, file: manager.file }, [
    was ? 'The daemon starts at login no more.' : 'It was not installed.',
  ])
}

/** tidemark daemon start: resolves once it is ready. */
export async function startDaemon(context: CliContext): Promise<void> {
  const { folders, output } = context
  const known = await findDaemon(folders)
  if (known !== null) {
    const ready = await untilReady(context, () => null)
    return output.result(toValue(ready), [`The daemon runs already: ${describeNote(ready)}`])
  }
  const manager = managerOf(context)
  if (manager?.isInstalled() === true) {
    manager.start()
    const ready = await untilReady(context, () => manager.ended(), manager)
    return output.result(toValue(ready), [`The daemon is started: ${describeNote(ready)}`])
  }
  const errors = errorsOf(context)
  // What an earlier end left in the log is not about this start.
  const { command, env } = launchOf(context)
  const child = startInBackground(command, { ...context.env, ...env }, errors)
  let end: string | null = null
  child.once('error', ({ message }) => (end = message))
  child.once('exit', (code, signal) => (end = `it ended with ${signal ?? `exit code ${code}`}`))
  const ready = await untilReady(context, () => end)
  child.removeAllListeners()
  output.result(toValue(ready), [`The daemon is started: ${describeNote(ready)}`])
}

/** tidemark daemon stop: resolves once it has ended. */
export async function stopDaemon(context: CliContext): Promise<void> {
  const stopped = await endDaemon(context)
  context.output.result({ running: false, stopped }, [
    stopped ? 'The daemon is stopped.' : 'The daemon was not running.',
  ])
}

/** tidemark daemon restart: also where it was not running. */
export async function restartDaemon(context: CliContext): Promise<void> {
  await endDaemon(context)
  await startDaemon(context)
}

/** tidemark daemon status: answers whether it runs. */
export async function showDaemon(context: CliContext): Promise<boolean> {
  const { output, folders } = context
  const note = await findDaemon(folders)
  const manager = managerOf(context)
  const installed = manager?.isInstalled() ?? false
  const service = installed ? (manager?.kind ?? null) : null
  output.result({ ...toValue(note), service, data: folders.data, log: logPath(folders) }, [
    note === null ? 'The daemon is not running.' : `The daemon runs: ${describeNote(note)}`,
    `Data: ${folders.data}`,
    `Log: ${logPath(folders)}`,
    service === null ? 'At login: not started (tidemark daemon install)' : `At login: started by ${service}`,
  ])
  return note !== null
}

async function endDaemon(context: CliContext): Promise<boolean> {
  const { folders, clock } = context
  const note = await findDaemon(folders)
  if (note === null || !(await askToStop(folders))) return false
  for (const end = clock.now() + END_MS; clock.now() < end;) {
    // Another one may have been started meanwhile.
    if ((await findDaemon(folders))?.pid !== note.pid && !isAlive(note.pid)) return true
    await pause(context)
  }
  throw new TidemarkError('in_use', `The daemon (process ${note.pid}) did not end in time`, {
    details: { pid: note.pid },
  })
}

function isAlive(pid: number): boolean {
  // A test runs it within its own process.
  if (pid === process.pid) return false
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** `ended` says why no daemon will come any more; null: it may. */
async function untilReady(
  context: CliContext,
  ended: () => string | null,
  manager?: ServiceManager,
): Promise<DaemonNote> {
  const { folders, clock } = context
  for (const end = clock.now() + READY_MS; clock.now() < end;) {
    const note = await findDaemon(folders)
    if (note?.state === 'ready') return note
    const why = ended()
    if (why !== null) throw notStarted(context, why, manager)
    await pause(context)
  }
  throw notStarted(context, 'it is not ready yet', manager)
}

function notStarted(context: CliContext, why: string, manager?: ServiceManager): TidemarkError {
  const said = manager === undefined ? readLastLines(errorsOf(context), SHOWN_LINES) : []
  const lines =
    said.length > 0 ? said : readLastLines(logPath(context.folders), SHOWN_LINES).map(describeLogLine)
  const look = manager === undefined ? {} : { look: manager.look }
  const shown = lines.map((line) => `\n  ${line.trim()}`).join('')
  return new TidemarkError('daemon_not_running', `The daemon did not start: ${why}${shown}`, {
    details: { log: logPath(context.folders), ...look },
  })
}

async function pause({ clock, signal }: CliContext): Promise<void> {
  await sleep(clock, ASK_EVERY_MS, signal).catch(() => {
    throw new TidemarkError('aborted')
  })
}

const errorsOf = ({ folders }: CliContext): string => join(runFolder(folders), 'daemon.errors')

/** The same home, profile and places as of this command. */
function launchOf(context: CliContext): Launch {
  const { given, env, folders } = context
  const profile = given.profile ?? findProfile(env)?.text
  const command = [
    process.execPath,
    PROGRAM,
    ...(given.home === undefined ? [] : ['--home', given.home]),
    ...(profile === undefined ? [] : ['--profile', profile]),
    'daemon',
    '--background',
  ]
  // The home decides all places; without one they are those of this environment.
  const places =
    given.home === undefined
      ? Object.entries(PLACE_VARIABLES).flatMap(([place, names]) =>
          findVariable(names, env) === null
            ? []
            : [[names[0], folders[place as keyof typeof PLACE_VARIABLES]]],
        )
      : []
  return {
    command,
    env: Object.fromEntries(places) as { readonly [name: string]: string },
    errors: errorsOf(context),
  }
}

function managerOf({ env, folders, given }: CliContext): ServiceManager | null {
  const isPlatforms = given.home === undefined && findVariable(PLACE_VARIABLES.data, env) === null
  return findManager({ env, folder: isPlatforms ? null : folders.data })
}

function requireManager(context: CliContext): ServiceManager {
  const manager = managerOf(context)
  if (manager !== null) return manager
  throw new TidemarkError(
    'unprocessable',
    'No service manager of this user answers (systemd, launchd): tidemark daemon start runs it in the background, until the next start of the computer',
  )
}

const describeNote = ({ pid, url, startedAt, state, version }: DaemonNote): string =>
  `process ${pid}${url === null ? '' : ` at ${url}`}, since ${new Date(startedAt).toISOString()}, version ${version}${state === 'ready' ? '' : `, ${state}`}`

const toValue = (note: DaemonNote | null) => ({
  running: note !== null,
  state: note?.state ?? null,
  pid: note?.pid ?? null,
  url: note?.url ?? null,
  started_at: note?.startedAt ?? null,
  version: note?.version ?? null,
})
