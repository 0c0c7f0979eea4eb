import { requirePlain, type Launch } from './launch.ts'

const ENTITIES: { readonly [char: string]: string } = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
}
const text = (plain: string): string =>
  `<string>${requirePlain(plain).replaceAll(/[&<>"']/g, (char) => ENTITIES[char] ?? char)}</string>`

/** The agent of a user's own daemon. Untested on macOS: that it is well formed is all that tests hold. */
export function writeLaunchdPlist(label: string, { command, env, errors }: Launch): string {
  const variables = Object.entries(env).flatMap(([name, value]) => [
    `    <key>${name}</key>`,
    `    ${text(value)}`,
  ])
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">',
    '<!-- Made by `tidemark daemon install`, which writes it anew. Untested. -->',
    '<plist version="1.0">',
    '<dict>',
    '  <key>Label</key>',
    `  ${text(label)}`,
    '  <key>ProgramArguments</key>',
    '  <array>',
    ...command.map((word) => `    ${text(word)}`),
    '  </array>',
    '  <key>EnvironmentVariables</key>',
    '  <dict>',
    ...variables,
    '  </dict>',
    '  <key>RunAtLoad</key>',
    '  <true/>',
    '  <key>KeepAlive</key>',
    '  <dict>',
    '    <key>SuccessfulExit</key>',
    '    <false/>',
    '  </dict>',
    '  <key>Umask</key>',
    '  <integer>63</integer>',
    '  <key>ExitTimeOut</key>',
    '  <integer>30</integer>',
    '  <key>StandardErrorPath</key>',
    `  ${text(errors)}`,
    '</dict>',
    '</plist>',
    '',
  ].join('\n')
}
