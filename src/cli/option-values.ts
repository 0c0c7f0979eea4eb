import { InvalidArgumentError } from 'commander'

export function parsePort(text: string): number {
  const port = Number(text)
  if (/^\d+$/.test(text) && port <= 65_535) return port
  throw new InvalidArgumentError('a port is a number from 0 to 65535')
}

/** `host:port`, an IPv6 address in brackets. */
export function parseAddress(text: string): { readonly host: string; readonly port: number } {
  const [, bracketed, plain, port] = /^(?:\[([\da-fA-F:.]+)\]|([^:[\]]+)):(\d+)$/.exec(text) ?? []
  const host = bracketed ?? plain
  if (host === undefined || port === undefined)
    throw new InvalidArgumentError('an address is host:port, such as 127.0.0.1:9464 or [::1]:9464')
  return { host, port: parsePort(port) }
}

/** Seconds that a service manager would wait for, too. */
export function parseSeconds(text: string): number {
  const seconds = Number(text)
  if (/^\d+$/.test(text) && seconds <= 3_600) return seconds
  throw new InvalidArgumentError('whole seconds from 0 to 3600')
}

export function parseCountOrNone(text: string): number {
  return text === '0' ? 0 : parseCount(text)
}

export function parseCount(text: string): number {
  const count = Number(text)
  if (/^\d+$/.test(text) && count > 0) return count
  throw new InvalidArgumentError('a whole number above 0')
}
