import os
import pickle
import smtplib
import socket
import ssl
import subprocess

import httpx
import yaml


def run(name):
    # ruleid: shell
    subprocess.run(f"ls {name}", shell=True)
    # ruleid: shell
    os.system("ls " + name)
    # ok: shell
    subprocess.run(["ls", name], check=True)


def ask(url, context):
    # ruleid: peer-not-verified
    httpx.get(url, verify=False)
    # ruleid: peer-not-verified
    context.check_hostname = False
    # ruleid: peer-not-verified
    context.verify_mode = ssl.CERT_NONE
    # ok: peer-not-verified
    httpx.get(url, verify=context)


def read(data):
    # ruleid: data-that-runs
    first = pickle.loads(data)
    # ruleid: data-that-runs
    second = yaml.load(data)
    # ruleid: data-that-runs
    third = eval(data)
    # ok: data-that-runs
    return first, second, third, yaml.safe_load(data)


def connect(host):
    # ruleid: waits-for-ever
    socket.create_connection((host, 25))
    # ruleid: waits-for-ever
    smtplib.SMTP(host)
    # ok: waits-for-ever
    smtplib.SMTP(host, timeout=5)
    # ok: waits-for-ever
    return socket.create_connection((host, 25), timeout=5)


def serve(app):
    # ruleid: debugger-in-a-server
    app.run(debug=True)
    # ok: debugger-in-a-server
    app.run()
