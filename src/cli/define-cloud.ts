import { Option, type Command } from 'commander'

import { TidemarkError } from '../kernel/errors.ts'
import type { LogLevel } from '../cloud/server/log-lines.ts'
import type { Environment } from '../machine/folders.ts'
import type { CommandTable } from './command-table.ts'
import { parseAddress, parseCount, parseCountOrNone, parsePort, parseSeconds } from './option-values.ts'
import { CLOUD_VARIABLES, DATABASE_VARIABLE, isGiven, readVariables } from './option-variables.ts'
import { EXIT } from './output.ts'

/** Port of the cloud where none is named. */
export const DEFAULT_PORT = 7_600

const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent']

/** tidemark cloud …: what an operator of a cloud does. */
export function defineCloud({ program, env, define, run, endWith }: CommandTable): void {
  const cloud = define(program, 'cloud', 'serve the cloud from this machine')
    .option('--data <dir>', 'folder of the cloud')
    .option('--database <url>', 'PostgreSQL in its place, for several nodes (TIDEMARK_CLOUD_DATABASE_URL)')
    .option('--database-connections <n>', 'most connections of this node to it', parseCount)
    .option('--no-views', 'make no views for plain SQL in it')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <n>', 'port to listen on; 0 takes any free one', parsePort, DEFAULT_PORT)
    .option('--insecure-loopback', 'need no token; loopback addresses only')
    .option('--tls-key <file>', 'private key, PEM: serves HTTPS with HTTP/2')
    .option('--tls-cert <file>', 'certificate chain, PEM')
    .option('--trust-proxy <n>', 'believe x-forwarded-for of so many proxies in front', parseCountOrNone)
    .addOption(
      new Option('--log-level <level>', 'lines of JSON on standard error; info: each request')
        .choices(LOG_LEVELS)
        .default('warn'),
    )
    .option('--metrics-address <host:port>', 'serve /metrics there, without a token', parseAddress)
    .option('--token-rate <n>', 'requests of one token in a minute; 0: any number', parseCountOrNone)
    .option('--address-rate <n>', 'requests from one address in a minute; 0: any number', parseCountOrNone)
    .option('--max-connections <n>', 'open connections', parseCount)
    .option('--drain <seconds>', 'when stopping, be not ready for so long before', parseSeconds)
    .addHelpText('after', `\nEach option has a variable, too: --log-level is ${CLOUD_VARIABLES}_LOG_LEVEL.`)
    .hook('preAction', (cloud, action) => readEnvironment(cloud, action, env))
    .action((options, command: Command) =>
      run(async (context) => {
        refuseUnknown(command)
        return (await import('./commands/cloud.ts')).runCloud(context, options)
      })(),
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

  define(cloud, 'check', 'try the database or folder of a cloud, and say what is wrong with it')
    .option('--nodes <n>', 'how many nodes are to share the database', parseCount, 1)
    .action((_, command: Command) =>
      run(async (context) => {
        const { checkPlace } = await import('./commands/cloud-check.ts')
        if (!(await checkPlace(context, command.optsWithGlobals()))) endWith(EXIT.failed)
      })(),
    )

  define(cloud, 'begin-generation', 'after a restore of the database under nodes that went on running')
    .addOption(inFolder())
    .action((_, command: Command) =>
      run(async (context) =>
        (await import('./commands/cloud-begin-generation.ts')).beginGeneration(
          context,
          command.optsWithGlobals(),
        ),
      )(),
    )

  define(cloud, 'views', 'views for plain SQL on the tables of spaces, in PostgreSQL')
    .option('--account <name>', 'only those of its spaces')
    .option('--refresh', 'make those that are missing or behind the schema of their space')
    .action((_, command: Command) =>
      run(async (context) =>
        (await import('./commands/cloud-views.ts')).showViews(context, command.optsWithGlobals()),
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

  define(cloud, 'spaces', 'what this cloud holds')
    .addOption(inFolder())
    .action((_, command: Command) =>
      run(async (context) =>
        (await import('./commands/cloud-spaces.ts')).listSpaces(context, command.optsWithGlobals()),
      )(),
    )
  define(
    cloud,
    'export <file>',
    'copy a space into a file (.zst or .gz: compressed; -: to a pipe), also while it is served',
  )
    .addOption(inFolder())
    .option('--account <name>', 'whose space it is', 'default')
    .requiredOption('--space <name>', 'its name')
    .action((file: string, _, command: Command) =>
      run(async (context) =>
        (await import('./commands/cloud-export.ts')).exportSpace(context, file, command.optsWithGlobals()),
      )(),
    )
  define(cloud, 'import <file>', 'make a space of an exported file (-: from a pipe), all of it or nothing')
    .addOption(inFolder())
    .option('--account <name>', 'whose space it becomes', 'default')
    .requiredOption('--space <name>', 'its name here')
    .action((file: string, _, command: Command) =>
      run(async (context) =>
        (await import('./commands/cloud-import.ts')).importSpace(context, file, command.optsWithGlobals()),
      )(),
    )
  // Last: those above would take over that they refuse none.
  cloud.allowExcessArguments()
}

/**
 * The place of a cloud is one thing: who names a folder or a database on the command line means none of the
 * environment, and of two in the environment neither is meant more. (The database's address holds a secret: it is
 * read where it is used.)
 */
function readEnvironment(cloud: Command, action: Command, env: Environment): void {
  const isPlaced = ['data', 'database'].some((name) => isGiven(cloud, action, name))
  const folder = `${CLOUD_VARIABLES}_DATA`
  if (!isPlaced && [folder, DATABASE_VARIABLE].every((name) => (env[name] ?? '') !== ''))
    throw new TidemarkError('bad_usage', `${folder} and ${DATABASE_VARIABLE} are both set: name one of them`)
  const except = isPlaced ? ['data', 'database'] : ['database']
  readVariables(cloud, action, { prefix: CLOUD_VARIABLES, env, except })
}

/** What Commander would call an argument too many, since `cloud` alone serves. */
function refuseUnknown({ args, commands }: Command): void {
  if (args.length === 0) return
  const known = commands.map((one) => one.name()).filter((name) => name !== 'help')
  throw new TidemarkError(
    'bad_usage',
    `cloud has no command ${JSON.stringify(args[0])}; it has ${known.join(', ')}`,
  )
}

/** An option of `cloud` that its subcommands take too, as people write it there. */
const inFolder = (): Option => new Option('--data <dir>').hideHelp()
