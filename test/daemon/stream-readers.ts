/**
 * Readers of a stream of events, in a process of their own: `node stream-readers.ts URL TOKEN READING STALLED EVENTS`.
 * Says `open` when all are, and a line of JSON when each that reads has had so many events.
 */
import { connect } from 'node:net'

const [url = '', token = '', reading = '0', stalled = '0', events = '0'] = process.argv.slice(2)
const { host, port } = new URL(url)
const wanted = Number(events)
const all = Number(reading) + Number(stalled)
let open = 0
let done = 0
let ended = 0
const lateness: number[] = []

for (let at = 0; at < all; at++) {
  const isReader = at < Number(reading)
  const socket = connect(Number(port), '127.0.0.1')
  socket.on('error', () => {})
  socket.on('close', () => ended++)
  socket.write(
    `GET /api/v1/stream/events HTTP/1.1\r\nhost: ${host}\r\nauthorization: Bearer ${token}\r\n\r\n`,
  )
  let seen = 0
  let isOpen = false
  socket.on('data', (chunk) => {
    if (!isOpen) {
      isOpen = true
      if (++open === all) process.stdout.write('open\n')
      if (!isReader) return void socket.pause()
    }
    const text = chunk.toString('latin1')
    for (let from = text.indexOf('\nid: '); from >= 0; from = text.indexOf('\nid: ', from + 1)) seen++
    const made = /"at":(\d{13})/.exec(text)?.[1]
    if (made !== undefined) lateness.push(Date.now() - Number(made))
    if (seen < wanted || wanted === 0) return
    socket.removeAllListeners('data').resume()
    if (++done === Number(reading)) report()
  })
}

function report(): void {
  lateness.sort((a, b) => a - b)
  const at = (share: number): number => lateness[Math.floor(share * (lateness.length - 1))] ?? 0
  process.stdout.write(`${JSON.stringify({ p50: at(0.5), p95: at(0.95), max: at(1), ended })}\n`)
}
