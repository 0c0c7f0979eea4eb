import { hash } from 'node:crypto'

import type { Content, OpenApi, Operation } from './openapi.ts'

export interface Page {
  readonly html: string
  /** The content security policy under which exactly this page shows: its own style, nothing else. */
  readonly policy: string
}

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #0a7ea4 }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { margin-bottom: 0 } h2 { margin-top: 2.5rem }
code, pre { font: 14px/1.45 ui-monospace, monospace }
pre { background: var(--soft); padding: .75rem 1rem; overflow-x: auto; border-radius: 6px }
details { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; padding: .5rem 1rem }
summary { cursor: pointer } summary code { font-weight: 600 }
.method { display: inline-block; min-width: 4.5rem; color: var(--accent); font-weight: 700 }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; vertical-align: top; border-top: 1px solid var(--line); padding: .35rem .6rem .35rem 0 }
`

/** The API for people: one file, no script, nothing loaded from anywhere. `links`: addresses without a token, for the first lines. */
export function createPage(document: OpenApi, links: readonly string[]): Page {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => showOperation(method, path, operation)),
  )
  const schemas = Object.entries(document.components.schemas).map(
    ([name, schema]) =>
      `<details id="${escape(name)}"><summary><code>${escape(name)}</code></summary>${showJson(schema)}</details>`,
  )
  const html = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escape(document.info.title)}</title><style>${STYLE}</style></head><body>
<h1>${escape(document.info.title)}</h1>
<p>Version ${escape(document.info.version)}. ${escape(document.info.description)} The same as
<a href="openapi.json">OpenAPI 3.1</a>; ${links.map((link) => `<a href="${escape(link)}">${escape(link)}</a>`).join(', ')}.</p>
<h2>Routes</h2>
${operations.join('\n')}
<h2>Schemas</h2>
${schemas.join('\n')}
</body></html>
`
  const policy = `default-src 'none'; style-src 'sha256-${hash('sha256', STYLE, 'base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`
  return { html, policy }
}

function showOperation(method: string, path: string, operation: Operation): string {
  const parameters = (operation.parameters ?? []).map(
    ({ name, in: where, required, description = '' }) =>
      `<tr><td><code>${escape(name)}</code></td><td>${where}${required ? ', required' : ''}</td><td>${escape(description)}</td></tr>`,
  )
  const responses = Object.entries(operation.responses).map(
    ([status, { description, content }]) =>
      `<tr><td>${status}</td><td>${escape(description)} ${content === undefined ? '' : showContent(content)}</td></tr>`,
  )
  return `<details><summary><span class="method">${method.toUpperCase()}</span> <code>${escape(path)}</code> ${escape(operation.summary)}</summary>
<p>${escape(operation.description)}</p>
${operation.requestBody === undefined ? '' : `<p>Body: ${showContent(operation.requestBody.content)}</p>`}
${parameters.length === 0 ? '' : `<table>${parameters.join('')}</table>`}
<table>${responses.join('')}</table></details>`
}

function showContent(content: Content): string {
  return Object.entries(content)
    .map(
      ([type, { schema }]) =>
        `<code>${escape(type)}</code> ${namesIn(schema)
          .map((name) => `<a href="#${escape(name)}">${escape(name)}</a>`)
          .join(' | ')}`,
    )
    .join(', ')
}

/** Names of the schemas that a schema points to. */
const namesIn = (schema: object): readonly string[] =>
  [...JSON.stringify(schema).matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(([, name = '']) => name)

const showJson = (value: unknown): string => `<pre>${escape(JSON.stringify(value, null, 2))}</pre>`

const escape = (text: string): string => text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
