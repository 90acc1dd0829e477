// An HL7 server of another maker: `node server.js PORT [CERTIFICATE KEY [CLIENT_AUTHORITY]]`. It prints each message it
// took as one line of JSON. A patient name that begins with REFUSED gets AE, one that begins with LATER gets AR.
'use strict'

const fs = require('fs')
const { Server } = require('node-hl7-server')

const [port, certificate, key, authority] = process.argv.slice(2)
const options = { bindAddress: '127.0.0.1' }
if (certificate) {
  options.tls = { cert: fs.readFileSync(certificate), key: fs.readFileSync(key) }
  if (authority) Object.assign(options.tls, { ca: fs.readFileSync(authority), requestCert: true })
}

const inbound = new Server(options).createInbound({ port: Number(port) }, async (req, res) => {
  const message = req.getMessage()
  const name = message.get('PID.5.1').toString()
  const type = message.get('MSH.9.1').toString()
  const event = message.get('MSH.9.2').toString()
  console.log(JSON.stringify({ controlId: message.get('MSH.10').toString(), name, type, event }))
  await res.sendResponse(name.startsWith('REFUSED') ? 'AE' : name.startsWith('LATER') ? 'AR' : 'AA')
})
inbound.on('data.error', (error) => console.log(JSON.stringify({ error: String(error) })))
