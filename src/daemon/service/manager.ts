import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'

import { TidemarkError } from '../../kernel/errors.ts'
import { fileTag } from '../../machine/files.ts'
import type { Environment } from '../../machine/variables.ts'
import { writePrivateFile } from '../../machine/private-file.ts'
import type { Launch } from './launch.ts'
import { writeLaunchdPlist } from './launchd-plist.ts'
import { writeSystemdUnit } from './systemd-unit.ts'

/** What starts a user's daemon at login, and again after a failure. */
export interface ServiceManager {
  readonly kind: 'systemd' | 'launchd'
  /** What describes the service. */
  readonly file: string
  readonly isInstalled: () => boolean
  install(launch: Launch): void
  uninstall(): void
  /** Only where it is installed. Resolves before the daemon is ready. */
  start(): void
  /** Why what was started is not there any more; null: it may become ready yet. */
  ended(): string | null
  /** What a person can do to learn more. */
  readonly look: string
  /** Told once after an installation. */
  readonly note: string
}

interface Place {
  readonly env: Environment
  /** The data folder; null: the platform's own, of which there is one. */
  readonly folder: string | null
}

/** The service manager of this user; null where there is none that answers. */
export function findManager(
  place: Place,
  platform: NodeJS.Platform = process.platform,
): ServiceManager | null {
  if (platform === 'darwin') return openLaunchd(place)
  if (platform !== 'linux') return null
  return hasUserManager(place.env) ? openSystemd(place) : null
}

/** Also of a daemon that another folder's stands beside. */
const tagOf = ({ folder }: Place): string => (folder === null ? '' : `-${fileTag(folder).slice(0, 8)}`)

function run(env: Environment, program: string, ...args: readonly string[]): void {
  try {
    execFileSync(program, args, { env: { ...env }, stdio: ['ignore', 'ignore', 'pipe'] })
  } catch (thrown) {
    const { stderr } = thrown as { readonly stderr?: unknown }
    const said = Buffer.isBuffer(stderr) ? stderr.toString().trim() : ''
    const line = [program, ...args].join(' ')
    throw new TidemarkError('unprocessable', `\`${line}\` failed${said === '' ? '' : `: ${said}`}`, {
      cause: thrown,
    })
  }
}

function ask(env: Environment, program: string, ...args: readonly string[]): string {
  try {
    return execFileSync(program, args, {
      env: { ...env },
      stdio: ['ignore', 'pipe', 'ignore'],
      encoding: 'utf8',
    })
  } catch {
    return ''
  }
}

function hasUserManager(env: Environment): boolean {
  try {
    execFileSync('systemctl', ['--user', 'show-environment'], { env: { ...env }, stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

const homeOf = (env: Environment): string => env['HOME'] ?? homedir()

function openSystemd(place: Place): ServiceManager {
  const { env } = place
  const unit = `tidemark-daemon${tagOf(place)}.service`
  const config = env['XDG_CONFIG_HOME'] ?? ''
  const folder = config === '' ? join(homeOf(env), '.config') : config
  const file = join(folder, 'systemd', 'user', unit)
  return {
    kind: 'systemd',
    file,
    isInstalled: () => existsSync(file),
    install(launch) {
      writePrivateFile(file, writeSystemdUnit(launch))
      run(env, 'systemctl', '--user', 'daemon-reload')
      run(env, 'systemctl', '--user', 'enable', unit)
    },
    uninstall() {
      run(env, 'systemctl', '--user', 'disable', '--now', unit)
      rmSync(file, { force: true })
      run(env, 'systemctl', '--user', 'daemon-reload')
    },
    start() {
      try {
        // After too many failures it would refuse, whatever was mended since.
        run(env, 'systemctl', '--user', 'reset-failed', unit)
      } catch {
        // It never ran.
      }
      run(env, 'systemctl', '--user', 'start', unit)
    },
    ended() {
      const shown = ask(env, 'systemctl', '--user', 'show', '-p', 'ActiveState,NRestarts', unit)
      const isGone = /^ActiveState=(failed|inactive)$/m.test(shown) || /^NRestarts=[1-9]/m.test(shown)
      return isGone ? 'the service ended' : null
    },
    look: `systemctl --user status ${unit}`,
    note: 'It ends with your last session unless you say: loginctl enable-linger',
  }
}

function openLaunchd(place: Place): ServiceManager {
  const { env } = place
  const label = `dev.tidemark.daemon${tagOf(place)}`
  const file = join(homeOf(env), 'Library', 'LaunchAgents', `${label}.plist`)
  const domain = `gui/${process.getuid?.() ?? 0}`
  return {
    kind: 'launchd',
    file,
    isInstalled: () => existsSync(file),
    install(launch) {
      mkdirSync(dirname(file), { recursive: true })
      writePrivateFile(file, writeLaunchdPlist(label, launch))
    },
    uninstall() {
      try {
        run(env, 'launchctl', 'bootout', `${domain}/${label}`)
      } catch {
        // It was not loaded.
      }
      rmSync(file, { force: true })
    },
    start() {
      try {
        run(env, 'launchctl', 'bootstrap', domain, file)
      } catch {
        // It is loaded already, which is all that is wanted of this.
      }
      run(env, 'launchctl', 'kickstart', `${domain}/${label}`)
    },
    ended: () => null,
    look: `launchctl print ${domain}/${label}`,
    note: 'Untested on macOS.',
  }
}
