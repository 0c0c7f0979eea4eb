import { requirePlain, type Launch } from './launch.ts'

/** A word of a line of systemd: specifiers are not looked for in it, quotes and blanks are part of it. */
const quote = (text: string): string =>
  `"${requirePlain(text).replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('%', '%%')}"`

/** The same in a command, where variables would be looked for too. */
const quoteArgument = (text: string): string => quote(text).replaceAll('$', '$$$$')

/**
 * The unit of a user's own daemon. It reads and writes attached files, which may lie anywhere the user may write, and
 * serves others of this user over sockets that may lie in the common folder for temporary files: so neither home nor
 * temporary files are taken away from it. What a user's own manager cannot take away without rights of root is left out.
 */
export function writeSystemdUnit({ command, env }: Launch): string {
  const variables = Object.entries(env).map(([name, value]) => `Environment=${quote(`${name}=${value}`)}`)
  return [
    '# Made by `tidemark daemon install`, which writes it anew.',
    '[Unit]',
    'Description=Tidemark daemon',
    '',
    '[Service]',
    'Type=exec',
    `ExecStart=${command.map(quoteArgument).join(' ')}`,
    ...variables,
    '# What it answers 2 to is a mistake in the configuration: nothing is better the next time.',
    'Restart=on-failure',
    'RestartSec=5',
    'RestartPreventExitStatus=2',
    'TimeoutStopSec=30',
    'UMask=0077',
    'NoNewPrivileges=yes',
    'LockPersonality=yes',
    'RestrictRealtime=yes',
    'RestrictSUIDSGID=yes',
    'RestrictNamespaces=yes',
    'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
    'SystemCallArchitectures=native',
    'SystemCallFilter=@system-service',
    'SystemCallErrorNumber=EPERM',
    '',
    '[Install]',
    'WantedBy=default.target',
    '',
  ].join('\n')
}
