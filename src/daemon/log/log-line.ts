/** One line of the log as a person reads it: `2026-11-22 03:00:00 warn  What happened  file=/a.db`. */
export function describeLogLine(line: string): string {
  let parsed: unknown
  try {
    parsed = JSON.parse(line)
  } catch {
    return line
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return line
  const { time, level, msg, ...details } = parsed as { readonly [name: string]: unknown }
  const rest = Object.entries(details)
    .filter(([, value]) => value !== null && value !== '')
    .map(([name, value]) => `${name}=${typeof value === 'string' ? quote(value) : JSON.stringify(value)}`)
  const at = textOf(time)
    .replace('T', ' ')
    .replace(/\.\d+Z$/, '')
  return [at, textOf(level).padEnd(5), [textOf(msg), ...rest].join('  ')].join(' ')
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

const quote = (text: string): string => (/[\s"]/.test(text) ? JSON.stringify(text) : text)
