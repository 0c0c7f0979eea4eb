import { TidemarkError } from '../../kernel/errors.ts'
import { ROUTES } from '../../protocol/routes.ts'

/** The address of a cloud: its routes lie under `base`. */
export interface Endpoint {
  /** Without a slash at the end. */
  readonly base: string
  /** Host and port, for messages. */
  readonly host: string
  /** Only this machine is in between: compression costs both ends and gains nothing. */
  readonly loopback: boolean
}

/**
 * Reads the address of a cloud: http or https, a path in front of the routes allowed. Credentials are refused,
 * since addresses are shown and logged. Throws `config_invalid`.
 */
export function parseEndpoint(text: string): Endpoint {
  const refuse = (rule: string) =>
    new TidemarkError('config_invalid', `The endpoint ${rule}`, { details: { key: 'endpoint', rule } })
  const trimmed = text.trim()
  if (!/^https?:\/\/[^/]/i.test(trimmed)) throw refuse('does not begin with http:// or https://')
  if (!URL.canParse(trimmed)) throw refuse('is not an address')
  const url = new URL(trimmed)
  if (url.username !== '' || url.password !== '')
    throw refuse('holds credentials; the token is a setting of its own')
  if (url.search !== '' || url.hash !== '') throw refuse('holds a query or a fragment')
  const base = `${url.origin}${url.pathname.replace(/\/+$/, '')}`
  return { base, host: url.host, loopback: isLoopback(url.hostname) }
}

const isLoopback = (host: string) =>
  host === 'localhost' || host === '[::1]' || /^127(?:\.\d+){3}$/.test(host)

export type RouteName = keyof typeof ROUTES

/** The address of a route; a list in `query` stands once for each item, `id` in the place of the path's own. */
export function routeUrl(
  endpoint: Endpoint,
  route: RouteName,
  query: { readonly [name: string]: string | readonly string[] | undefined } = {},
  id = '',
): string {
  const params = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    for (const item of value === undefined ? [] : [value].flat()) params.append(name, item)
  }
  const search = params.size === 0 ? '' : `?${params.toString()}`
  return `${endpoint.base}${ROUTES[route].path.replace(':id', () => encodeURIComponent(id))}${search}`
}
