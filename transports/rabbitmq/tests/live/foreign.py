"""Another program at the broker: `foreign.py PORT declare|send|receive EXCHANGE-OR-QUEUE`."""

import datetime
import decimal
import json
import sys

import pika

port, what, name = int(sys.argv[1]), sys.argv[2], sys.argv[3]
credentials = pika.PlainCredentials("guest", "guest")
connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port, credentials=credentials))
channel = connection.channel()

if what == "declare":
    # As others do: a topic exchange with a queue bound by a pattern.
    channel.exchange_declare(name, "topic", durable=True)
    channel.queue_declare(name + ".read", durable=True)
    channel.queue_bind(name + ".read", name, "order.#")
elif what == "send":
    properties = pika.BasicProperties(
        message_id="from-pika",
        type="order.placed",
        content_type="application/json",
        correlation_id="c-1",
        reply_to="answers",
        timestamp=1700000000,
        delivery_mode=2,
        headers={
            "text": "grüße",
            "number": 7,
            "large": 1 << 40,
            "truth": True,
            "price": decimal.Decimal("1.25"),
            "list": [1, "two"],
            "table": {"inner": 1},
            "when": datetime.datetime.fromtimestamp(1700000000, datetime.timezone.utc),
            "nothing": None,
        },
    )
    channel.confirm_delivery()
    channel.basic_publish(name, "order.placed.eu", b'{"id":1}', properties, mandatory=True)
elif what == "receive":
    channel.basic_qos(prefetch_count=10)
    for method, properties, body in channel.consume(name, inactivity_timeout=15):
        if method is None:
            sys.exit("nothing came")
        channel.basic_ack(method.delivery_tag)
        found = {
            key: value
            for key, value in vars(properties).items()
            if key != "headers" and value is not None
        }
        found["headers"] = {key: str(value) for key, value in (properties.headers or {}).items()}
        found["body"] = body.decode()
        found["key"] = method.routing_key
        print(json.dumps(found, sort_keys=True, ensure_ascii=False))
        break
    channel.cancel()
connection.close()
