import type { SteadyClock } from '../../kernel/clock.ts'
import type { TidemarkError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/logger.ts'
import type { Machine } from '../../machine/machine.ts'
import { attachmentsPath, listAttachments } from '../attachments.ts'
import type { KnownProtocols } from '../batch/probe.ts'
import { watchTime } from './awake.ts'
import { followFiles } from './follow.ts'
import type { EngineSettings, HostingEvent } from './hosted-file.ts'
import { Hosting } from './hosting.ts'
import { createOwnSpace } from './own-space.ts'
import { createProtocols, type Protocols } from './protocols.ts'
import type { SettingsBook } from './sync-settings.ts'
import { createTeller } from './tell.ts'

/** The files of a data folder, kept in step as settings and list say at each moment. */
export interface HostedSync {
  readonly hosting: Hosting
  readonly protocols: Protocols
  /** A push under way gets so many milliseconds. */
  close(drainMs: number): Promise<void>
}

export function startHosting(options: {
  readonly machine: Machine & { readonly clock: SteadyClock }
  readonly settings: SettingsBook
  readonly logger: Logger
  /** Hears what happens to files, beside the log. */
  readonly tell?: ((event: HostingEvent) => void) | undefined
  readonly otherSpace?: 'join' | undefined
  readonly known: KnownProtocols
  /** Told what the daemon's own profile's endpoint speaks, as often as it is looked at. */
  readonly upload: (settings: EngineSettings | null) => void
}): HostedSync {
  const { machine, settings, logger, upload, tell } = options
  const { folders, clock } = machine
  const list = attachmentsPath(folders)
  const log = createTeller(logger)
  const protocols = createProtocols({ ...options, ...machine, found: () => act() })
  let unreadable = ''
  const hosting = new Hosting({
    machine,
    list: () => listAttachments(folders),
    settingsOf(profile) {
      const found = settings.of(profile)
      if (found === null || found.engine === null || protocols.of(found) !== 'tidemark') return null
      return { ...found.engine, otherSpace: options.otherSpace }
    },
    tell(event) {
      log(event)
      tell?.(event)
    },
    unreadable({ message }) {
      if (unreadable === message) return
      unreadable = message
      logger.error('The list of attached files cannot be read: it stays as it was', {
        file: list,
        why: message,
      })
    },
  })
  const ownSpace = createOwnSpace({
    machine,
    attached: () => hosting.follow(),
    failed: ({ code, message }: TidemarkError) =>
      logger.warn("The agents' database is not under sync", { code, why: message }),
  })
  let told = describe(settings)
  const look = (): void => {
    settings.refresh()
    const now = describe(settings)
    if (now !== told) logger.info(now)
    told = now
    act()
  }
  const act = (): void => {
    const current = settings.current()
    hosting.follow()
    if (protocols.of(current) === 'tidemark') void ownSpace.attach(current)
    upload(protocols.of(current) === 'batch' ? current.engine : null)
  }
  act()
  const unfollow = followFiles([list, folders.config, folders.secrets], {
    clock,
    everyMs: () => settings.current().intervalMs,
    look,
  })
  const unwatch = watchTime(clock, (gapMs) => {
    logger.info('Time went by unseen: everything is synced now', { seconds: Math.round(gapMs / 1_000) })
    look()
    protocols.awake()
    hosting.awake()
  })
  return {
    hosting,
    protocols,
    async close(drainMs) {
      unfollow()
      unwatch()
      await protocols.close()
      await ownSpace.close()
      await hosting.close(drainMs)
    },
  }
}

/** For the log; an endpoint has no password in it (`parseSetting`). */
function describe(settings: SettingsBook): string {
  const { profile, endpoint, on, rule, problem } = settings.current()
  if (!on) return `Sync is off (profile ${profile}): ${rule}`
  if (problem !== null) return `Sync is on (profile ${profile}), but cannot be: ${problem.message}`
  return `Sync is on (profile ${profile}) with ${endpoint ?? ''}: ${rule}`
}
