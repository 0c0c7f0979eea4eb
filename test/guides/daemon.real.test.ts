import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { freePort } from '../free-port.ts'
import { openPlace } from '../readme-blocks.ts'
import { listRecorded, record, steady } from './recorded.ts'

const ROOT = join(import.meta.dirname, '../..')
const GUIDE = join(ROOT, 'docs/guides/daemon.md')

/** With TIDEMARK_RECORD=1 the guide is written anew. */
test('the guide to the daemon does what it says, and prints what it shows', async () => {
  const guide = readFileSync(GUIDE, 'utf8')
  const ports = { 7600: await freePort(), 7610: await freePort() }
  await using place = await openPlace(join(ROOT, 'bin/tidemark.js'))
  const said: string[] = []
  for (const { script, printed } of listRecorded(guide)) {
    const here = script.replaceAll('7600', String(ports[7600])).replaceAll('7610', String(ports[7610]))
    const own = `export TIDEMARK_DAEMON_PORT=${ports[7610]}\n`
    const other = here.replaceAll('tidemark --home desktop', 'TIDEMARK_DAEMON_PORT=0 tidemark --home desktop')
    const served = other.replace(
      'tidemark cloud --data cloud >',
      `tidemark cloud --port ${ports[7600]} --data cloud >`,
    )
    const { code, said: out } = await place.run(own + served)
    expect(code, `${script}\n${out}`).toBe(0)
    const shown = out
      .replaceAll(String(ports[7600]), '7600')
      .replaceAll(String(ports[7610]), '7610')
      .replaceAll(place.home, '~')
    said.push(shown)
    if (printed !== null && process.env['TIDEMARK_RECORD'] === undefined)
      expect(steady(shown)).toBe(steady(printed))
  }
  if (process.env['TIDEMARK_RECORD'] !== undefined) writeFileSync(GUIDE, record(guide, said))
})
