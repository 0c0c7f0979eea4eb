import { Option, type Command } from 'commander'

import type { CliContext } from './context.ts'
import { parseCount, parsePort } from './option-values.ts'

/** Port of the cloud where none is named. */
export const DEFAULT_PORT = 7_600

/** What the table of commands is made with. */
export interface CommandTable {
  readonly program: Command
  readonly define: (parent: Command, usage: string, about: string) => Command
  /** The action of a command: makes its context, and tells what it threw. */
  readonly run: (work: (context: CliContext, home: string) => unknown) => () => Promise<void>
}

/** tidemark cloud …: what an operator of a cloud does. */
export function defineCloud({ program, define, run }: CommandTable): void {
  const cloud = define(program, 'cloud', 'serve the cloud from this machine')
    .option('--data <dir>', 'folder of the cloud')
    .option('--database <url>', 'PostgreSQL in its place, for several nodes (TIDEMARK_CLOUD_DATABASE_URL)')
    .option('--database-connections <n>', 'most connections of this node to it', parseCount)
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <n>', 'port to listen on; 0 takes any free one', parsePort, DEFAULT_PORT)
    .option('--insecure-loopback', 'need no token; loopback addresses only')
    .option('--tls-key <file>', 'private key, PEM: serves HTTPS with HTTP/2')
    .option('--tls-cert <file>', 'certificate chain, PEM')
    .action((options) =>
      run(async (context) => (await import('./commands/cloud.ts')).runCloud(context, options))(),
    )
  const token = define(cloud, 'token', 'make, list and revoke tokens')
  define(token, 'create', 'make a token and print it, once')
    .addOption(inFolder())
    .option('--account <name>', 'whose token it is', 'default')
    .option('--name <text>', 'what it is for', 'cli')
    .option('--scopes <list>', 'read, write, devices', 'read,write,devices')
    .option('--spaces <list>', 'only these spaces; absent: all of the account')
    .option('--default-space <name>', 'space of POST /sync/batch', 'default')
    .option('--days <n>', 'expires after so many days', parseCount)
    .action((_, command: Command) =>
      run(async (context) =>
        (await import('./commands/cloud-tokens.ts')).createToken(context, command.optsWithGlobals()),
      )(),
    )
  define(token, 'list', 'list tokens').action((_, command: Command) =>
    run(async (context) =>
      (await import('./commands/cloud-tokens.ts')).listTokens(context, command.optsWithGlobals()),
    )(),
  )
  define(token, 'revoke <id>', 'revoke a token').action((id: string, _, command: Command) =>
    run(async (context) =>
      (await import('./commands/cloud-tokens.ts')).revokeToken(context, id, command.optsWithGlobals()),
    )(),
  )

  define(cloud, 'audit', 'who changed tokens, spaces and devices')
    .addOption(inFolder())
    .option('--limit <n>', 'only the newest so many', parseCount, 100)
    .action((_, command: Command) =>
      run(async (context) =>
        (await import('./commands/cloud-audit.ts')).showAudit(context, command.optsWithGlobals()),
      )(),
    )
}

/** An option of `cloud` that its subcommands take too, as people write it there. */
const inFolder = (): Option => new Option('--data <dir>').hideHelp()
