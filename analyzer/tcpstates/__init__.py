"""tcpstates"""
