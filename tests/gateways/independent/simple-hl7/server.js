// An HL7 server of another maker: `node server.js PORT`. It prints each message it took as one line of JSON.
// A patient name that begins with REFUSED gets AE, one that begins with LATER gets AR.
'use strict'

const hl7 = require('simple-hl7')

const app = hl7.tcp()

app.use(function (req, res, next) {
  const name = req.msg.getSegment('PID').getComponent(5, 1).toString()
  const segment = res.ack.getSegment('MSA')
  if (name.startsWith('REFUSED')) segment.setField(1, 'AE')
  if (name.startsWith('LATER')) segment.setField(1, 'AR')
  const controlId = req.msg.header.getField(8).toString()
  console.log(JSON.stringify({ controlId, name, type: req.type, event: req.event }))
  res.end()
})

app.start(Number(process.argv[2]))
